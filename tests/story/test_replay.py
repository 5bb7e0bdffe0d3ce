"""Past events are sent again, by time and choice, under their own ids: the same story on both Kafkas."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.customer import Call, Customer
from tests.story.conftest import Sender
from tests.story.test_story import fetch, told, until

TYPES = ["open", "click"]


def now() -> str:
    return datetime.now(UTC).isoformat()


def ids(calls: list[Call]) -> Counter[str]:
    return Counter(call.headers["webhook-id"] for call in calls)


class History:
    """What was sent to a loop before anything is sent again: eight opens, eight clicks of four profiles."""

    def __init__(self, sender: Sender, customer: Customer, **more: Any) -> None:
        self.sender, self.customer = sender, customer
        sender.knows()
        self.loop = sender.loop(customer, **more)
        self.since = now()
        for number in range(8):
            mail = sender.mail(profile=f"p{number % 4}", message=f"m-{number}")
            fetch(mail["open"])
            fetch(mail["click"])
        self.first = list(customer.wait(told(16)))
        until(lambda: datetime.now(UTC) > datetime.fromisoformat(self.since))
        self.until = now()

    def replay(self, **wish: Any) -> dict[str, Any]:
        """Asks for a replay of all this, and the wishes given."""
        span = {"from": self.since, "to": self.until}
        path = f"/v1/loops/{self.loop['id']}/replays"
        asked: dict[str, Any] = self.sender.call("POST", path, span | wish, expect=202).json()
        return asked

    def shown(self, replay: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.sender.call("GET", f"/v1/replays/{replay['id']}", expect=200).json()
        return found

    def done(self, replay: dict[str, Any]) -> dict[str, Any]:
        until(lambda: self.shown(replay)["state"] == "done")
        return self.shown(replay)

    def again(self) -> list[Call]:
        return self.customer.calls[len(self.first) :]


def test_all_of_it_comes_again_under_the_same_ids(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    replay = history.replay()
    shown = history.done(replay)
    again = history.again()
    assert (shown["matched"], shown["sent"], shown["progress"], shown["reason"]) == (16, 16, 1.0, None)
    assert ids(again) == ids(history.first)
    assert {call.headers.get("loopwire-replay") for call in history.first} == {None}
    assert {call.headers["loopwire-replay"] for call in again} == {replay["id"]}
    assert {call.headers["loopwire-attempt"] for call in again} == {"1"}
    assert all(call.verified(history.loop["secret"]) for call in again)
    assert sorted(call.body for call in again) == sorted(call.body for call in history.first)


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ({"types": ["open"]}, lambda form: form["type"] == "open"),
        ({"profiles": ["p1", "p3"]}, lambda form: form["profile"] in {"p1", "p3"}),
        ({"profiles": ["p1"], "types": ["click"]}, lambda form: (form["profile"], form["type"]) == ("p1", "click")),
        ({"mailings": ["spring"]}, lambda _form: True),
        ({"mailings": ["autumn"]}, lambda _form: False),
        ({"tags": ["sale", "none"]}, lambda _form: True),
        ({"tags": ["none"]}, lambda _form: False),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00+02:00"}, lambda _form: False),
    ],
)
def test_what_is_chosen_comes(
    sender: Sender, customer: Customer, wish: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]
) -> None:
    history = History(sender, customer)
    dry = history.done(history.replay(dry_run=True, **wish))
    shown = history.done(history.replay(**wish))
    expected = [call for call in history.first if wanted(call.form)]
    assert (dry["matched"], dry["sent"]) == (len(expected), 0)
    assert (shown["matched"], shown["sent"]) == (len(expected), len(expected))
    assert ids(history.again()) == ids(expected)


def test_a_time_between_two_events_parts_them(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    fetch(sender.mail(message="later")["open"])
    customer.wait(told(17))
    customer.calls.clear()
    history.first = []
    assert history.done(history.replay())["sent"] == 16
    assert history.done(history.replay(**{"from": history.until, "to": "2040-01-01T00:00:00Z"}))["sent"] == 1
    assert [call.form["id"] for call in customer.calls].count("later") == 1


def test_a_replay_can_be_cancelled_and_goes_no_further(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    replay = history.replay(rate=0.5)
    until(lambda: history.shown(replay)["state"] == "running")
    cancelled = sender.call("DELETE", f"/v1/replays/{replay['id']}", expect=200).json()
    assert cancelled["state"] == "cancelled"
    assert history.done(history.replay(types=["click"]))["sent"] == 8, "the next one goes on"
    assert history.shown(replay)["sent"] < 16
    assert sender.call("DELETE", f"/v1/replays/{replay['id']}", expect=200).json()["state"] == "cancelled"


def test_one_replay_of_a_loop_is_under_way_at_a_time_and_a_dry_run_beside_it(
    sender: Sender, customer: Customer
) -> None:
    history = History(sender, customer)
    slow, next_ = history.replay(rate=0.5), history.replay(types=["open"])
    assert history.done(history.replay(dry_run=True))["matched"] == 16
    assert history.shown(next_)["state"] == "queued"
    sender.call("DELETE", f"/v1/replays/{slow['id']}", expect=200)
    assert history.done(next_)["sent"] == 8
    listed = sender.call("GET", f"/v1/loops/{history.loop['id']}/replays", expect=200).json()
    assert [one["state"] for one in listed] == ["done", "done", "cancelled"]


def test_a_replay_waits_while_its_loop_is_paused(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    sender.call("POST", f"/v1/loops/{history.loop['id']}/pause", expect=200)
    replay = history.replay()
    assert (history.shown(replay)["state"], history.shown(replay)["reason"]) == ("queued", "waits: the loop is paused")
    assert history.done(history.replay(dry_run=True))["matched"] == 16
    assert history.again() == []
    sender.call("POST", f"/v1/loops/{history.loop['id']}/resume", expect=200)
    assert history.done(replay)["sent"] == 16
    assert ids(history.again()) == ids(history.first)


def test_an_unverified_loop_can_be_counted_for_but_not_sent_to(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    sender.call("PATCH", f"/v1/loops/{history.loop['id']}", {"url": customer.origin + "/hooks/new"}, expect=200)
    span = {"from": history.since, "to": history.until}
    refused = sender.call("POST", f"/v1/loops/{history.loop['id']}/replays", span, expect=409).json()
    assert refused["type"] == "urn:loopwire:problem:unverified"
    assert history.done(history.replay(dry_run=True))["matched"] == 16
    assert history.again() == []


def test_what_a_removed_loop_asked_for_failed(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    replay = history.replay(rate=0.5)
    sender.call("DELETE", f"/v1/loops/{history.loop['id']}", expect=204)
    shown = history.shown(replay)
    assert (shown["state"], shown["reason"]) == ("failed", "the loop was removed")


def test_what_happens_now_goes_first(sender: Sender, customer: Customer) -> None:
    """A slow server with one POST at a time: a new event overtakes what is sent again."""
    history = History(sender, customer, max_in_flight=1)
    customer.seconds = 0.3
    replay = history.replay()
    until(lambda: len(history.again()) >= 2)
    fetch(sender.mail(message="new")["open"])
    history.done(replay)
    calls = customer.wait(told(33))[16:]
    place = [call.form["id"] for call in calls].index("new")
    assert place < 12, "of 17"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.from: is missing"),
        ({"from": "yesterday", "to": "2026-01-01T00:00:00Z"}, "body.from: must be a time such as 2026-03-20T09:00:00Z"),
        ({"from": "2026-01-01T00:00:00", "to": "2026-01-01T00:00:00Z"}, "body.from: must say its zone"),
        ({"from": 5, "to": "2026-01-01T00:00:00Z"}, "body.from: must be a time"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "body: to: must be later than from"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "types": ["bounce"]},
         "body.types: the loop does not ask for bounce"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "rate": 0}, "body.rate: "),
    ],
)  # fmt: skip
def test_a_wish_that_can_t_be_met_is_refused_with_its_place(
    sender: Sender, customer: Customer, body: dict[str, Any], where: str
) -> None:
    loop = sender.loop(customer)
    refused = sender.call("POST", f"/v1/loops/{loop['id']}/replays", body, expect=422).json()
    assert refused["detail"].startswith(where)


def test_the_range_is_as_long_as_it_was_when_it_was_asked_for(sender: Sender, customer: Customer) -> None:
    history = History(sender, customer)
    far = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert history.done(history.replay(to=far))["sent"] == 16
