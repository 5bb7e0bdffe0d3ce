"""The examples say what a contract takes and refuses; its schema and its model agree with them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from pipeline import schemas
from pipeline.data import folder
from pipeline.model.contracts import CONTRACTS
from tests.examples import FOLDER

ACCEPTED = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.json"))
REJECTED = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/rejected/*.json"))

# What these hold is not written again: a null is unknown, and so is a name of a newer version; a time that is known
# to JSON Schema as a format only is checked by the model alone.
NOT_LOSSLESS = {
    "hit.v1/open-with-nulls.json",
    "hit.v1/open-of-a-newer-capture.json",
    "profile.v1/with-nulls.json",
    "mailing.v1/with-nulls.json",
}
BEYOND_JSON_SCHEMA = {"hit.v1/rejected/time-without-zone.json", "event.v1/rejected/time-without-zone.json"}


def _contract(path: str) -> str:
    return path.partition("/")[0]


def _raw(path: str) -> bytes:
    return (FOLDER / path).read_bytes()


def _validator(contract: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((folder("schemas") / f"{contract}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", ACCEPTED)
def test_an_accepted_example_is_valid_and_is_read(path: str) -> None:
    value = json.loads(_raw(path))
    _validator(_contract(path)).validate(value)
    again = json.loads(msgspec.json.encode(msgspec.json.decode(_raw(path), type=CONTRACTS[_contract(path)])))
    if path in NOT_LOSSLESS:
        assert again.items() < value.items()
    else:
        assert again == value


@pytest.mark.parametrize("path", REJECTED)
def test_a_rejected_example_is_refused_by_model_and_schema(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(_raw(path), type=CONTRACTS[_contract(path)])
    valid = _validator(_contract(path)).is_valid(json.loads(_raw(path)))
    assert valid == (path in BEYOND_JSON_SCHEMA)


def test_each_contract_has_a_schema_and_examples_of_both_kinds_and_there_are_no_others() -> None:
    names = set(CONTRACTS)
    assert {path.stem for path in folder("schemas").glob("*.json")} == names
    assert {_contract(path) for path in ACCEPTED} == names
    assert {_contract(path) for path in REJECTED} == names


def test_there_is_an_accepted_hit_of_each_type() -> None:
    types = {json.loads(_raw(path))["type"] for path in ACCEPTED if path.startswith("hit.v1/")}
    assert types == {"open", "click", "unsubscribe", "delivery", "bounce", "failure", "abuse"}


def test_the_schemas_are_what_the_models_say() -> None:
    assert schemas.drifts() == []


def test_a_schema_that_may_change_is_written_and_a_broken_promise_is_not(tmp_path: Path) -> None:
    assert schemas.write(tmp_path) == []
    assert schemas.drifts(tmp_path) == []
    promised = json.loads((tmp_path / "event.v1.json").read_text())
    promised["$defs"]["Event"]["properties"]["weather"] = {"type": "string"}
    (tmp_path / "event.v1.json").write_text(json.dumps(promised))
    (tmp_path / "loop.v1.json").unlink()
    broken = schemas.Drift("event.v1", breaking=True, detail="Event.weather is gone")
    assert schemas.drifts(tmp_path) == [broken, schemas.Drift("loop.v1", breaking=False, detail="has no file yet")]
    assert schemas.write(tmp_path) == [broken]
    assert schemas.drifts(tmp_path) == [broken]


def _of(properties: dict[str, Any], *required: str) -> schemas.Schema:
    return {"$ref": "#/$defs/Thing", "$defs": {"Thing": {"properties": properties, "required": list(required)}}}


TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "integer"}
NULL: dict[str, Any] = {"type": "null"}
MAYBE: dict[str, Any] = {"anyOf": [TEXT, NULL], "default": None}


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (_of({"a": TEXT}), _of({"a": TEXT}), []),
        (_of({"a": TEXT}), _of({}), ["Thing.a is gone"]),
        (_of({"a": TEXT}), _of({"a": TEXT, "b": TEXT}), []),
        (_of({"a": TEXT}), _of({"a": TEXT, "b": TEXT}, "b"), ["Thing.b is required now"]),
        (_of({"a": TEXT}), _of({"a": TEXT}, "a"), ["Thing.a is required now"]),
        (_of({"a": TEXT}, "a"), _of({"a": TEXT}), ["Thing.a may be absent now"]),
        (_of({"a": TEXT}), _of({"a": NUMBER}), ["Thing.a changed its type"]),
        (_of({"a": TEXT}), _of({"a": {**TEXT, "description": "words", "default": ""}}), []),
        (_of({"a": TEXT}), _of({"a": MAYBE}), []),
        (_of({"a": MAYBE}), _of({"a": TEXT}), ["Thing.a changed its type"]),
        (_of({"a": MAYBE}), _of({"a": {"anyOf": [TEXT, NUMBER, NULL]}}), []),
        (_of({"a": MAYBE}), _of({"a": {"anyOf": [NUMBER, NULL]}}), ["Thing.a changed its type"]),
        (_of({"a": {"enum": ["x"]}}), _of({"a": {"enum": ["x", "y"]}}), []),
        (_of({"a": {"enum": ["x", "y"]}}), _of({"a": {"enum": ["x"]}}), ["Thing.a changed its type"]),
        (_of({"a": {"enum": ["x"]}}), _of({"a": TEXT}), ["Thing.a changed its type"]),
        (
            _of({"a": {"type": "array", "items": TEXT}}),
            _of({"a": {"type": "array", "items": NUMBER}}),
            ["Thing.a changed its type"],
        ),
        (_of({"a": TEXT, "b": TEXT}), _of({"b": NUMBER}), ["Thing.a is gone", "Thing.b changed its type"]),
    ],
)
def test_a_breaking_change_is_told_and_growth_is_not(old: schemas.Schema, new: schemas.Schema, lost: list[str]) -> None:
    assert schemas.breaks(old, new) == lost


def test_a_union_may_grow_and_may_not_shrink() -> None:
    def union(*names: str) -> schemas.Schema:
        parts = {name: {"properties": {"type": {"enum": [name.lower()]}}, "required": ["type"]} for name in names}
        return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names], "$defs": parts}

    assert schemas.breaks(union("Open"), union("Open", "Click")) == []
    assert schemas.breaks(union("Open", "Click"), union("Open")) == ["Click is gone"]
