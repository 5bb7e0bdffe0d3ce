"""What is given up is kept, and sent once more or forgotten when its owner says so: one story on both Kafkas."""

from typing import Any

import requests

from tests.customer import Customer
from tests.story.conftest import Sender
from tests.story.test_story import fetch, told, until


def _dead(sender: Sender, loop: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sender.call("GET", f"/v1/loops/{loop}/dead", expect=200).json()["dead"]
    return found


def test_a_delivery_that_was_given_up_is_redriven_under_its_id(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer, signatures=["v1a"])
    customer.script.extend([500] * 3)  # the ladder has two rungs
    fetch(sender.mail()["open"])
    customer.wait(told(3))
    until(lambda: len(_dead(sender, loop["id"])) == 1)
    [letter] = _dead(sender, loop["id"])
    assert (letter["reason"], letter["attempts"]) == ("given up after 3 attempts: answered 500", 3)
    assert [one["error"] for one in letter["history"]] == ["answered 500"] * 3
    answer = sender.call("POST", f"/v1/loops/{loop['id']}/dead/redrive", expect=202).json()
    assert (answer["redriven"], answer["left"]) == (1, 0)
    *failed, again = customer.wait(told(4))
    assert {call.headers["webhook-id"] for call in failed} == {again.headers["webhook-id"]} == {letter["delivery"]}
    assert (again.headers["loopwire-attempt"], again.body) == ("1", failed[0].body)
    assert again.verified(loop["secret"])
    assert _dead(sender, loop["id"]) == []


def test_what_was_still_to_come_of_a_removed_loop_can_be_read_and_purged(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer)["id"]
    customer.script.append(500)
    fetch(sender.mail()["open"])
    customer.wait(told(1))
    sender.call("DELETE", f"/v1/loops/{loop}", expect=204)

    def kept() -> bool:
        """404 until there is a letter of it: then it was this account's."""
        key = {"Authorization": f"Bearer {sender.key}"}
        return requests.get(f"{sender.settings.console_url}/v1/loops/{loop}/dead", headers=key, timeout=20).ok

    until(kept)
    [letter] = _dead(sender, loop)
    assert letter["reason"] == "the loop was removed"
    purged = sender.call("POST", f"/v1/loops/{loop}/dead/purge", {"all": True}, expect=200).json()
    assert purged == {"purged": 1, "left": 0}
