"""kill -9 in the middle of 5,000 hits: every safely answered hit arrives, duplicates only under the same id."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests

from tests.customer import Call, Customer
from tests.faults.conftest import Up
from tests.story.conftest import Sender
from tests.story.lines import wait_ready

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

HITS = 5_000
READERS = 16
KILL_AT = 1_500
PROFILES = [f"profile-{number}" for number in range(48)]  # some on each of the 12 partitions


class Readers:
    """Readers that open mails; one that gets no answer tries again, as a browser's user would."""

    def __init__(self, pixels: dict[str, str]) -> None:
        self._pixels = pixels
        self._local = threading.local()
        self.answered: dict[str, float] = {}  # message -> when its pixel was safely answered

    def read_all(self, meanwhile: Callable[[], None]) -> None:
        with ThreadPoolExecutor(READERS) as pool:
            work = [pool.submit(self._open, message) for message in self._pixels]
            until(lambda: len(self.answered) > KILL_AT)
            meanwhile()
            for one in work:
                one.result()

    def _open(self, message: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self._session().get(self._pixels[message], timeout=20)
                assert answer.status_code == 200
                if answer.headers.get("loopwire-hit") != "lost":
                    self.answered[message] = time.monotonic()
                return
            except requests.ConnectionError:
                assert time.monotonic() < deadline, "capture did not come back"
                time.sleep(0.05)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"the condition did not come true in {seconds} s"
        time.sleep(0.01)


def check(calls: list[Call], answered: set[str]) -> None:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        ids[call.form["event"]].add(call.headers["webhook-id"])
    assert answered - {call.form["id"] for call in calls} == set()
    assert {event for event, webhooks in ids.items() if len(webhooks) > 1} == set()
    assert len({webhook for webhooks in ids.values() for webhook in webhooks}) == len(ids)
    assert all(call.form["recipient"] == f"{call.form['profile']}@example.com" for call in calls)


@pytest.mark.parametrize("stage", ["enrich", "deliver", "capture"])
def test_after_kill_9_every_safely_answered_hit_is_delivered(up: Up, stage: str) -> None:
    sender, customer = Sender(up), Customer()
    for profile in PROFILES:
        sender.knows(profile)
    sender.loop(customer, events=["open"], max_in_flight=64)
    pixels = {f"m-{n}": sender.mail(profile=PROFILES[n % len(PROFILES)], message=f"m-{n}")["open"] for n in range(HITS)}
    probes = [sender.mail(profile=profile, message=f"probe-{profile}")["open"] for profile in PROFILES]
    readers = Readers(pixels)
    killed_at = 0.0

    def kill() -> None:
        nonlocal killed_at
        up.kill(stage)
        killed_at = time.monotonic()

    readers.read_all(kill)
    until(lambda: any(stage in line and "started again" in line for line in up.lines), 5 + 1)
    for probe in probes:
        assert requests.get(probe, timeout=20).status_code == 200
    wanted = set(readers.answered) | {f"probe-{profile}" for profile in PROFILES}
    calls = customer.wait(lambda calls: wanted <= {call.form["id"] for call in calls[-HITS * 2 :]}, 120)
    check(calls, wanted)
    assert len(readers.answered) == HITS
    customer.close()


@pytest.mark.parametrize("stage", ["enrich", "deliver"])
def test_the_partitions_of_a_killed_process_work_again_within_10_s(up: Up, stage: str) -> None:
    sender, customer = Sender(up), Customer()
    loops = [sender.loop(customer, name=f"loop {number}", events=["open"]) for number in range(12)]
    mails = [sender.mail(profile=profile, message=profile)["open"] for profile in PROFILES]
    requests.get(mails[0], timeout=20)
    customer.wait(lambda calls: len(calls) >= len(loops))
    up.kill(stage)
    killed = time.monotonic()
    for mail in mails:
        assert requests.get(mail, timeout=20).status_code == 200
    customer.wait(lambda calls: len({(c.form["profile"], c.headers["loopwire-loop"]) for c in calls}) >= 12 * 48, 60)
    assert time.monotonic() - killed < 10
    customer.close()


def test_after_kill_9_of_the_broker_every_safely_answered_hit_is_delivered(up: Up) -> None:
    sender, customer = Sender(up), Customer()
    for profile in PROFILES:
        sender.knows(profile)
    sender.loop(customer, events=["open"], max_in_flight=64)
    pixels = {f"m-{n}": sender.mail(profile=PROFILES[n % len(PROFILES)], message=f"m-{n}")["open"] for n in range(HITS)}
    readers = Readers(pixels)
    readers.read_all(lambda: up.kill("kafka.Kafka"))
    wanted = set(readers.answered)
    calls = customer.wait(lambda calls: wanted <= {call.form["id"] for call in calls[-HITS * 2 :]}, 120)
    check(calls, wanted)
    assert len(wanted) > KILL_AT
    assert any("Kafka ended and was started again" in line for line in up.lines)
    customer.close()


def test_what_a_paused_loop_missed_survives_kill_9_while_it_waits_and_while_it_is_sent(up: Up) -> None:
    sender, customer = Sender(up), Customer()
    loop = sender.loop(customer, events=["open"])
    missed = {
        f"m-{number}": sender.mail(profile=PROFILES[number % 48], message=f"m-{number}") for number in range(1_500)
    }
    sender.call("POST", f"/v1/loops/{loop['id']}/pause", expect=200)
    for mail in missed.values():
        assert requests.get(mail["open"], timeout=20).status_code == 200
    up.kill("deliver")
    sender.call("POST", f"/v1/loops/{loop['id']}/resume", expect=200)
    customer.wait(lambda calls: len(calls) > 200)
    up.kill("deliver")
    calls = customer.wait(lambda calls: missed.keys() <= {call.form["id"] for call in calls}, 120)
    ids = {(call.form["event"], call.headers["webhook-id"]) for call in calls}
    assert len(ids) == len(missed)
    customer.close()


def test_a_replay_survives_kill_9_and_sends_all_of_it(up: Up) -> None:
    sender, customer = Sender(up), Customer()
    loop = sender.loop(customer, events=["open"])
    since = datetime.now(UTC).isoformat()
    mails = {
        f"m-{number}": sender.mail(profile=PROFILES[number % 48], message=f"m-{number}") for number in range(1_500)
    }
    for mail in mails.values():
        assert requests.get(mail["open"], timeout=20).status_code == 200
    first = customer.wait(lambda calls: len(calls) == len(mails))
    span = {"from": since, "to": "2040-01-01T00:00:00Z", "rate": 300}
    replay = sender.call("POST", f"/v1/loops/{loop['id']}/replays", span, expect=202).json()
    for more in (300, 700):
        customer.wait(lambda calls, more=more: len(calls) > len(first) + more)  # type: ignore[misc]
        up.kill("deliver")
    until(lambda: bool(sender.call("GET", f"/v1/replays/{replay['id']}").json()["state"] == "done"), 120)
    again = customer.calls[len(mails) :]
    assert {call.headers["webhook-id"] for call in again} == {call.headers["webhook-id"] for call in first}
    assert {call.headers["loopwire-replay"] for call in again} == {replay["id"]}
    assert len(again) < 2 * len(mails), "a second's worth is sent twice after each kill, no more"
    customer.close()


def test_what_is_told_to_end_ends_although_the_broker_is_frozen(up: Up) -> None:
    """An orderly end asks Kafka, and librdkafka may wait for its answer for ever."""
    sender, customer = Sender(up), Customer()
    sender.knows()
    sender.loop(customer, events=["open"])
    requests.get(sender.mail(message="m-1")["open"], timeout=20)
    customer.wait(lambda calls: len(calls) == 1)
    stages = ("capture", "enrich", "deliver", "console")
    told = {pid: stage for stage in stages for pid in up.pids(stage)}
    [broker] = up.pids("kafka.Kafka")
    os.kill(broker, signal.SIGSTOP)
    try:
        for pid in told:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not any(pid in up.pids(stage) for pid, stage in told.items()), 30)
    finally:
        os.kill(broker, signal.SIGCONT)
    wait_ready(up.settings)
    requests.get(sender.mail(message="m-2")["open"], timeout=20)
    customer.wait(lambda calls: any(call.form["id"] == "m-2" for call in calls))
    customer.close()


def test_kill_9_of_the_parent_takes_every_process_along_and_the_data_is_there_at_the_next_start(up: Up) -> None:
    sender, customer = Sender(up), Customer()
    sender.knows()
    sender.loop(customer, events=["open"])
    stages = ("capture", "enrich", "deliver", "console")
    assert all(up.pids(stage) for stage in stages)
    up.destroy()
    until(lambda: not any(up.pids(stage) for stage in stages), 30)
    again = Up(up.settings)
    sender.settings = again.settings
    requests.get(sender.mail(message="after")["open"], timeout=20)
    [call] = customer.wait(lambda calls: len(calls) == 1)
    assert (call.form["id"], call.form["recipient"]) == ("after", "jane@example.com")
    assert again.close() == 0
    customer.close()
