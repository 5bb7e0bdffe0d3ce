"""The document says what every call takes and answers, and its examples are true."""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import jsonschema
import pytest

from pipeline.console import openapi
from pipeline.console.examples import EXAMPLES, PROBLEMS
from pipeline.console.problems import KINDS, MEDIA_TYPE, Kind
from pipeline.kafka.memory import Memory
from tests.console.dying import bury, letters
from tests.console.running import ADMIN, TOPICS, Console, running

Json = dict[str, Any]
PATHS = {
    "profile": "jane",
    "mailing": "spring-sale",
    "account": "acme",
    "user": "jane",
    "attempt": "at_1",
    "delivery": "msg_1",
}
# What the example of a call needs is not there: a file on a server, a loop that is verified.
REFUSED = {
    "POST /v1/loops/{loop}/verify": 422,
    "POST /v1/loops/{loop}/test": 409,
    "POST /v1/loops/{loop}/replays": 409,
    "POST /v1/loops/{loop}/attempts/{attempt}/again": 404,
    "POST /v1/loops/{loop}/dead/redrive": 409,
}


class Cast(NamedTuple):
    """A console, its document, an account's key and the id of a loop."""

    console: Console
    document: Json
    key: str
    loop: str
    replay: str

    def operation(self, call: str) -> Json:
        return dict(openapi.calls(self.document))[call]

    def valid(self, value: object, schema: Json) -> None:
        """AssertionError's like where the value is not what the document says."""
        whole = {"components": self.document["components"], **schema}
        jsonschema.Draft202012Validator(whole).validate(value)


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory, allow_networks="") as console:
        key = console.account("acme")
        document = console.call("GET", "/openapi.json").json()
        loop = console.loop(key)["id"]
        dry = EXAMPLES["POST /v1/loops/{loop}/replays"].asked | {"dry_run": True}
        replay = console.call("POST", f"/v1/loops/{loop}/replays", key, json=dry).json()["id"]
        bury(memory, loop, "msg_1")
        letters(console, key, loop, 1)
        yield Cast(console, document, key, loop, replay)


def test_every_call_has_an_example_and_every_problem_too(cast: Cast) -> None:
    assert {call for call, _ in openapi.calls(cast.document)} == set(EXAMPLES)
    assert set(PROBLEMS) == set(KINDS) == set(get_args(Kind))
    assert [kind for kind, problem in PROBLEMS.items() if problem.kind != kind] == []


@pytest.mark.parametrize("call", EXAMPLES)
def test_a_call_is_described(cast: Cast, call: str) -> None:
    operation = cast.operation(call)
    assert operation["description"].startswith(operation["summary"])
    assert len(operation["summary"].split()) > 1
    assert operation["security"] == [{"HTTPBearer": []}]
    assert operation["tags"][0] in openapi.TAGS
    assert {"401", "429", "500", "default"} < set(operation["responses"])
    assert ("404" in operation["responses"]) == (any(name in call for name in ("{loop}", "{replay}", "{account}")))
    assert min(operation["responses"]) < "300"


@pytest.mark.parametrize("call", EXAMPLES)
def test_the_examples_are_what_the_schemas_say(cast: Cast, call: str) -> None:
    operation = cast.operation(call)
    holders = [operation.get("requestBody", {}), *operation["responses"].values()]
    contents = [content for holder in holders for content in holder.get("content", {}).values()]
    for content in contents:
        examples = [content["example"]] if "example" in content else []
        examples += [example["value"] for example in content.get("examples", {}).values()]
        for example in examples:
            cast.valid(example, content["schema"])
        assert examples or content["schema"] == openapi.PROBLEM_REF


@pytest.mark.parametrize("call", [call for call in EXAMPLES if not call.startswith("DELETE")])
def test_the_examples_can_be_made(cast: Cast, call: str) -> None:
    method, path = call.split()
    key = ADMIN if path.startswith("/v1/accounts") else cast.key
    answer = cast.console.call(
        method, path.format(loop=cast.loop, replay=cast.replay, **PATHS), key, json=EXAMPLES[call].asked
    )
    expected = REFUSED.get(call) or int(min(cast.operation(call)["responses"]))
    assert answer.status_code == expected, answer.text
    content = cast.operation(call)["responses"][str(expected)].get("content", {})
    assert answer.headers.get("content-type") == next(iter(content), None)
    if content:
        cast.valid(answer.json(), content[answer.headers["content-type"]]["schema"])
        assert call in REFUSED or _names(answer.json()) == _names(EXAMPLES[call].answered)


def _names(answer: Any) -> set[str]:
    return set(answer[0] if isinstance(answer, list) else answer)


def test_lines_are_an_example_too(cast: Cast) -> None:
    example = EXAMPLES["POST /v1/profiles"]
    headers = {"content-type": "application/x-ndjson"}
    answer = cast.console.call("POST", "/v1/profiles", cast.key, data=example.lines, headers=headers)
    assert answer.json() == example.answered


def test_a_problem_is_listed_where_it_may_come_from(cast: Cast) -> None:
    problems = {
        call: {kind for response in operation["responses"].values() for kind in _kinds(response)}
        for call, operation in openapi.calls(cast.document)
    }
    listed = set[str]().union(*problems.values())
    assert set(KINDS) - listed == {"bad-request", "method-not-allowed"}  # those of no call
    assert problems["GET /v1/loops"] == {"unauthorized", "too-many-calls", "fault"}
    assert problems["POST /v1/loops/{loop}/verify"] == {
        "unauthorized",
        "too-many-calls",
        "fault",
        "not-found",
        "changed",
        "unverifiable",
        "unavailable",
    }
    assert "too-large" not in problems["POST /v1/profiles"]


def _kinds(response: Json) -> Json:
    examples: Json = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    return examples
