"""Whatever schemathesis makes of the document, good and bad: no fault of ours, and answers as the document says."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from msgspec.structs import replace
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.console import openapi, run
from pipeline.console.examples import EXAMPLES
from pipeline.console.limits import Limits
from pipeline.kafka.memory import Memory
from pipeline.model.loops import Loop
from tests.console.running import ADMIN, TOPICS, Console, rows, running

# No network in reach: the guard refuses it at connect, so verification and trials go all their way but the last.
URL = "http://127.0.0.1:1234/in"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
# Who takes nothing but a loop's id, or nothing at all, can be sent nothing bad.
TAKES = [call for call, example in EXAMPLES.items() if example.asked is not None or "{profile}" in call]
CASES = [*((call, GOOD) for call in EXAMPLES), *((call, BAD) for call in TAKES)]
# The same examples at each run, on each machine.
FEW = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Cast(NamedTuple):
    """A console that never tires, its Kafka, its document, an account's key."""

    console: Console
    memory: Memory
    document: dict[str, Any]
    key: str

    def verified_loop(self) -> str:
        """The id of a new loop whose address is proved."""
        loop: str = self.console.loop(self.key, url=URL)["id"]
        kept = msgspec.json.decode(rows(self.memory, "loops")[-1][1] or b"", type=Loop)
        row = msgspec.json.encode(replace(kept, verified_url=URL, epoch=1))
        self.memory.producer().produce("loops", row, loop.encode())
        self.console.loop(self.key)  # whatever was written before it is known
        return loop

    def replay(self) -> str:
        """The id of a new replay."""
        span = {"from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z"}
        path = f"/v1/loops/{self.verified_loop()}/replays"
        return str(self.console.call("POST", path, self.key, json=span).json()["id"])


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "Limits", lambda: Limits(rate=1e6, burst=1e6))
        with running(memory, allow_networks="") as console:
            document = console.call("GET", "/openapi.json").json()
            for _, operation in openapi.calls(document):
                del operation["security"]  # else most of the bad is a bad key, which test_api_keys.py is about
            yield Cast(console, memory, document, console.account("acme"))


@pytest.mark.parametrize(("call", "mode"), CASES)
def test_nothing_that_is_sent_makes_a_fault(cast: Cast, call: str, mode: GenerationMode) -> None:
    method, path = call.split()
    operation = schemathesis.openapi.from_dict(cast.document)[path][method]
    known = {"loop": cast.verified_loop()} if "{loop}" in path else {}
    if "{attempt}" in path:
        known |= {"attempt": "at_1"}
    if "{delivery}" in path:
        known |= {"delivery": "msg_1"}
    if "{replay}" in path:
        known = {"replay": cast.replay()}
    session = requests.Session()
    key = {"authorization": f"Bearer {ADMIN if path.startswith('/v1/accounts') else cast.key}"}

    @FEW
    @given(case=operation.as_strategy(mode, path_parameters=known or None))
    def attempt(case: Case[Any]) -> None:
        answer = case.call(base_url=cast.console.url, session=session, headers=key, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    attempt()
