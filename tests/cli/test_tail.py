"""`loopwire tail`: live records on a line each, chosen by account and loop, until Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pytest

from pipeline import topics
from pipeline.cli.told import attempt_line, event_line
from pipeline.kafka.client import Cluster
from pipeline.model.deliveries import Attempt
from pipeline.model.events import Event
from pipeline.settings import Settings
from tests.cli.conftest import Loopwire
from tests.cli.running import start
from tests.examples import FOLDER

EVENT_LINES = {
    "bounce": "2026-03-20 09:15:00.123  bounce    shop/jane  jane@mail.example  spring-sale  "
    "code=5.1.1, description=mailbox unknown",
    "click": "2026-03-20 09:15:00.123  click     shop/jane  jane@mail.example  spring-sale [sale, spring]  "
    '-> https://shop.example/tulips?utm_source=spring&size="10"',
    "of-a-newer-type": "2026-03-20 09:15:00.123  reply     shop/jane  spring-sale",
    "open-by-a-machine": "2026-03-20 09:15:00.123  open      shop/jane  jane@mail.example  spring-sale [sale]  "
    "by a machine (prefetch)",
    "open-of-nobody-known": "2026-03-20 09:15:00.123  open      shop/jane  spring-sale",
    "update": "2026-03-20 09:15:00.123  update    shop/jane  jane@mail.example  city=Utrecht  by crm",
}
ATTEMPT_LINES = {
    "again": "2026-03-20 09:15:01.500  500  82 ms  click of shop/jane  lp_7h3k attempt 1  "
    "https://shop.example/hooks/in.php  again: answered 500  next 2026-03-20 09:15:06.500",
    "batch": "2026-03-20 09:15:01.500  200  82 ms  click of shop/jane and 1 more  lp_7h3k attempt 1  "
    "https://shop.example/hooks/in.php  delivered",
    "dead": "2026-03-20 09:15:01.500  410  82 ms  click of shop/jane  lp_7h3k attempt 1  "
    "https://shop.example/hooks/in.php  dead: answered 410 Gone",
    "delivered": "2026-03-20 09:15:01.500  200  82 ms  click of shop/jane  lp_7h3k attempt 1  "
    "https://shop.example/hooks/in.php  delivered",
    "never-connected": "2026-03-20 09:15:01.500  -    5000 ms  click of shop/jane  lp_7h3k attempt 1  "
    "https://shop.example/hooks/in.php  again: Connection timed out after 5000 milliseconds  "
    "next 2026-03-20 09:15:06.500",
}


def _examples(contract: str) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((FOLDER / contract).glob("*.json"))}


def test_every_example_of_an_event_has_its_line() -> None:
    found = {name: event_line(msgspec.json.decode(value, type=Event)) for name, value in _examples("event.v1").items()}
    assert found == EVENT_LINES


def test_every_example_of_an_attempt_has_its_line() -> None:
    examples = _examples("attempt.v1").items()
    assert {name: attempt_line(msgspec.json.decode(value, type=Attempt)) for name, value in examples} == ATTEMPT_LINES


Put = Callable[..., None]


@pytest.fixture
def put(cluster_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Writes values to a topic, each under a key of its own, so that they come into several partitions."""
    monkeypatch.setenv("LOOPWIRE_KAFKA", cluster_settings.kafka)
    monkeypatch.setenv("LOOPWIRE_TOPIC_PREFIX", cluster_settings.topic_prefix)
    kafka = Cluster(cluster_settings)
    producer = kafka.producer()

    def put(topic: str, *values: bytes | None) -> None:
        for number, value in enumerate(values):
            producer.produce(kafka.full(topic), value, f"key {number}".encode())
        assert producer.flush(30) == 0

    return put


class Tail:
    """A tail that has begun."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.begun = self._pipe("stderr").readline()

    def lines(self, count: int) -> list[str]:
        """The next lines; they may come in any order, as partitions do."""
        return sorted(self._pipe("stdout").readline().rstrip("\n") for _ in range(count))

    def stop(self) -> tuple[int, str, str]:
        """Ctrl-C: its exit code, and what it said since."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=30)
        return self._process.returncode, out, err

    def _pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self._process, name)
        return pipe


@contextmanager
def _tail(*words: str) -> Iterator[Tail]:
    process = start("tail", *words)
    try:
        yield Tail(process)
    finally:
        process.kill()
        process.communicate()


def _event(**more: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(_examples("event.v1")["open-of-nobody-known"]) | more)


def _attempt(**more: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(_examples("attempt.v1")["delivered"]) | more)


def test_what_is_written_from_now_on_is_told_until_ctrl_c(put: Put, cluster_settings: Settings) -> None:
    put(topics.EVENTS, _event(profile="before"))
    with _tail("events") as tail:
        assert tail.begun == f"reading {cluster_settings.topic_prefix}events, 4 partitions; Ctrl-C ends it\n"
        put(topics.EVENTS, *_examples("event.v1").values())
        assert tail.lines(len(EVENT_LINES)) == sorted(EVENT_LINES.values())
        put(topics.EVENTS, None, _event(recipient="\x1b[2J@x"))
        assert "\\x1b[2J@x" in tail.lines(1)[0]
        assert tail.stop() == (0, "", "")


def test_from_the_beginning_as_json_and_of_one_account(put: Put) -> None:
    put(topics.EVENTS, _event(), _event(account="acme", added={"a": "b\n"}), b"nonsense")
    put(topics.EVENTS, msgspec.json.format(_event(account="acme", profile="two"), indent=2))
    with _tail("events", "--from-beginning", "--json", "--account", "acme") as tail:
        found = [json.loads(line) for line in tail.lines(2)]
        assert sorted((one["account"], one["profile"], one.get("added")) for one in found) == [
            ("acme", "jane", {"a": "b\n"}), ("acme", "two", None),
        ]  # fmt: skip
        put(topics.EVENTS, *[_event(profile="other")] * 8, _event(account="acme", profile="last"))
        assert json.loads(tail.lines(1)[0])["profile"] == "last"
        code, out, err = tail.stop()
    assert (code, out, len(err.splitlines())) == (0, "", 1)
    assert err.startswith("partition ")
    assert "can't be read: " in err


def test_attempts_of_one_loop(put: Put) -> None:
    with _tail("attempts", "--loop", "lp_1", "--account", "shop") as tail:
        wanted = _attempt(loop="lp_1", attempt=2)
        put(topics.ATTEMPTS, _attempt(), _attempt(loop="lp_1", account="acme"), wanted, *[_attempt()] * 8)
        assert [line.split("  ")[4] for line in tail.lines(1)] == ["lp_1 attempt 2"]
        assert tail.stop() == (0, "", "")


def test_a_reader_that_went_away_is_no_traceback(put: Put, tmp_path: Path) -> None:
    put(topics.EVENTS, *[_event()] * 50)
    said = tmp_path / "said"
    command = f"{sys.executable} -m pipeline tail events --from-beginning 2>{said} | head -n 1"
    shell = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, timeout=60, check=True)
    assert shell.stdout.decode() == EVENT_LINES["open-of-nobody-known"] + "\n"
    assert "Traceback" not in said.read_text()


def test_topics_that_are_not_there_are_one_line(
    kafka_address: str, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPWIRE_KAFKA", kafka_address)
    monkeypatch.setenv("LOOPWIRE_TOPIC_PREFIX", "none-")
    monkeypatch.setattr("pipeline.kafka.asking.SPREAD_SECONDS", 0.0)
    assert loopwire("tail", "events") == (
        1, "", f"loopwire: kafka at {kafka_address}: there is no topic none-events: run loopwire topics apply\n",
    )  # fmt: skip
