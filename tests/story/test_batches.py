"""A loop that wants batches, from the mail to the customer's server: one story on both Kafkas."""

import json
from typing import Any

from standardwebhooks import Webhook

from pipeline.model.ids import batch_id
from tests.customer import Call, Customer
from tests.story.conftest import Sender
from tests.story.test_story import fetch, until

WISH = {"events": 3, "ms": 10_000}


def _told(call: Call, secret: str) -> list[dict[str, Any]]:
    """The events of a POST, as a receiver reads them: the signature is checked by Standard Webhooks' own library."""
    read: list[dict[str, Any]] = Webhook(secret).verify(call.body, call.headers)
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == batch_id([one["event"] for one in read], call.headers["loopwire-loop"])
    return read


def _open(sender: Sender, *profiles: str) -> None:
    for profile in profiles:
        sender.knows(profile)
        fetch(sender.mail(profile=profile, message=f"m-{profile}")["open"])


def test_events_come_several_in_a_post_and_a_retry_is_the_same_batch(sender: Sender, customer: Customer) -> None:
    loop = sender.loop(customer, format="json", batch=WISH)
    customer.script.append(500)
    _open(sender, "jane", "joe", "ann")
    failed, taken = customer.wait(lambda calls: len(calls) == 2)
    assert {one["recipient"] for one in _told(taken, loop["secret"])} == {
        f"{who}@example.com" for who in ("jane", "joe", "ann")
    }
    assert failed.body == taken.body
    assert failed.headers["webhook-id"] == taken.headers["webhook-id"]
    assert [call.headers["loopwire-attempt"] for call in (failed, taken)] == ["1", "2"]

    def attempts(**asked: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        found: list[dict[str, Any]] = sender.call("GET", f"/v1/loops/{loop['id']}/attempts?{query}").json()["attempts"]
        return found

    until(lambda: len(attempts()) == 2)
    assert [one["state"] for one in attempts()] == ["delivered", "retrying"]
    assert len(attempts(recipient="joe@example.com")) == 2, "a batch is found by each of its events"
    assert [one["event"] for one in attempts()[0]["batch"]] == [one["event"] for one in json.loads(taken.body)]


def test_an_event_alone_comes_in_an_array_of_one_when_it_has_waited(sender: Sender, customer: Customer) -> None:
    loop = sender.loop(customer, format="json", batch={"events": 100, "ms": 50})
    _open(sender, "jane")
    [call] = customer.wait(lambda calls: len(calls) == 1)
    [event] = _told(call, loop["secret"])
    assert (event["type"], event["profile"]) == ("open", "jane")
    test = sender.call("POST", f"/v1/loops/{loop['id']}/test").json()
    assert test["status"] == 200
    assert [one["recipient"] for one in json.loads(customer.calls[-1].body)] == ["test@shop.example"]


def test_a_batch_that_is_too_large_comes_in_halves(sender: Sender, customer: Customer) -> None:
    loop = sender.loop(customer, format="json", batch=WISH)
    customer.script.append(413)
    _open(sender, "jane", "joe", "ann")
    whole, *parts = customer.wait(lambda calls: len(calls) == 3)
    told = [[one["event"] for one in _told(part, loop["secret"])] for part in parts]
    assert sorted(map(len, told)) == [1, 2]
    assert sorted(name for half in told for name in half) == sorted(one["event"] for one in json.loads(whole.body))
    assert len({call.headers["webhook-id"] for call in (whole, *parts)}) == 3


def test_a_batch_that_is_given_up_is_a_letter_for_each_event_and_each_can_be_redriven(
    sender: Sender, customer: Customer
) -> None:
    loop = sender.loop(customer, format="json", batch=WISH)
    customer.script.extend([500] * 3)
    _open(sender, "jane", "joe", "ann")
    path = f"/v1/loops/{loop['id']}/dead"
    until(lambda: len(sender.call("GET", path).json()["dead"]) == 3)
    letters = sender.call("GET", path).json()["dead"]
    assert {one["recipient"] for one in letters} == {f"{who}@example.com" for who in ("jane", "joe", "ann")}
    assert {one["attempts"] for one in letters} == {3}
    sender.call("POST", f"{path}/redrive", {"recipient": "joe@example.com"}, expect=202)
    again = customer.wait(lambda calls: len(calls) == 4)[3]
    assert [one["recipient"] for one in _told(again, loop["secret"])] == ["joe@example.com"]


def test_what_a_pause_held_comes_in_batches(sender: Sender, customer: Customer) -> None:
    loop = sender.loop(customer, format="json", batch=WISH)
    sender.call("POST", f"/v1/loops/{loop['id']}/pause", expect=200)
    _open(sender, "jane", "joe", "ann")
    sender.call("POST", f"/v1/loops/{loop['id']}/resume", expect=200)
    calls = customer.wait(lambda calls: sum(len(json.loads(call.body)) for call in calls) == 3)
    assert len({one["event"] for call in calls for one in _told(call, loop["secret"])}) == 3
