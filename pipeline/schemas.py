"""JSON Schemas are made from the models, committed, and only grow: what a reader relies on is never taken away."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.data import folder
from pipeline.model.contracts import CONTRACTS, RELEASED

Schema = dict[str, Any]


class Drift(NamedTuple):
    """A contract whose file differs from its model. A `breaking` one takes something away from its readers."""

    contract: str
    breaking: bool
    detail: str


def fresh() -> dict[str, Schema]:
    """Every contract's schema as its model is now (JSON Schema 2020-12)."""
    return {name: _schema(name, shape) for name, shape in CONTRACTS.items()}


def drifts(where: Path | None = None) -> list[Drift]:
    """What differs between the files and the models."""
    at = where or folder("schemas")
    return [drift for name, now in fresh().items() if (drift := _drift(name, _committed(at, name), now))]


def write(where: Path | None = None) -> list[Drift]:
    """Writes the files of all contracts that may change; returns those that may not, and are left alone."""
    at = where or folder("schemas")
    refused = [drift for drift in drifts(at) if drift.breaking and drift.contract in RELEASED]
    for name, now in fresh().items():
        if name not in {drift.contract for drift in refused}:
            (at / f"{name}.json").write_text(json.dumps(now, indent=2) + "\n")
    return refused


def breaks(old: Schema, new: Schema) -> list[str]:
    """What a reader or writer of `old` would miss in `new`, in words. Empty: it only grew."""
    return [line for path in sorted(_places(old)) for line in _lost(path, _places(old)[path], _places(new).get(path))]


def _schema(name: str, shape: Any) -> Schema:  # noqa: ANN401 (a type, or a union of types)
    (root,), parts = msgspec.json.schema_components((shape,), ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **root, "$defs": parts}


def _committed(where: Path, name: str) -> Schema | None:
    path = where / f"{name}.json"
    if not path.exists():
        return None
    schema: Schema = json.loads(path.read_text())
    return schema


def _drift(name: str, old: Schema | None, new: Schema) -> Drift | None:
    if old == new:
        return None
    if old is None:
        return Drift(name, breaking=False, detail="has no file yet")
    lost = breaks(old, new)
    return Drift(name, bool(lost), "; ".join(lost) or "grew")


def _places(schema: Schema) -> dict[str, Schema]:
    """Every object of a schema by its name, the root as ''."""
    parts: dict[str, Schema] = schema.get("$defs", {})
    return {"": schema, **parts}


def _lost(path: str, old: Schema, new: Schema | None) -> list[str]:
    if new is None:
        return [f"{path} is gone"]
    before, after = old.get("properties", {}), new.get("properties", {})
    dot = f"{path}." if path else ""
    gone = [f"{dot}{name} is gone" for name in before if name not in after]
    asked = [f"{dot}{name} is required now" for name in new.get("required", []) if name not in old.get("required", [])]
    freed = [
        f"{dot}{name} may be absent now" for name in old.get("required", []) if name not in new.get("required", [])
    ]
    changed = [
        f"{dot}{name} changed its type" for name in before if name in after and _narrower(before[name], after[name])
    ]
    return gone + asked + freed + changed


def _narrower(old: Any, new: Any) -> bool:  # noqa: ANN401 (any part of a schema)
    """Whether something `old` allowed is not allowed by `new`. Descriptions and defaults do not count."""
    strip = {"description", "title", "default"}
    if not isinstance(old, dict) or not isinstance(new, dict):
        return bool(old != new)
    before, after = ({k: v for k, v in one.items() if k not in strip} for one in (old, new))
    if "enum" in before and "enum" in after:
        return not set(before["enum"]) <= set(after["enum"])
    if "anyOf" in after:
        choices = before.get("anyOf", [before])
        return not all(any(not _narrower(choice, other) for other in after["anyOf"]) for choice in choices)
    return before != after
