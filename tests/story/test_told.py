"""The account's other loops are told of a loop's trouble: the same story on both Kafkas."""

import pytest

from tests.customer import Call, Customer
from tests.story.conftest import Sender
from tests.story.test_story import fetch, told, until

NOTICES = ["loop.failing", "loop.disabled", "loop.ownership", "loop.recovered"]


def types(calls: list[Call]) -> list[str]:
    return [call.form["type"] for call in calls]


def test_a_410_is_told_to_the_others_and_the_verification_after_it(sender: Sender, customer: Customer) -> None:
    watcher, stranger = Customer(), Customer()
    loop = sender.loop(customer, name="the shop's", events=["open", *NOTICES])
    watching = sender.loop(watcher, events=NOTICES)
    customer.script.append(410)
    fetch(sender.mail()["open"])
    [call] = watcher.wait(told(1))
    form = {name: value for name, value in call.form.items() if name not in {"event", "timestamp", "time"}}
    assert form == {
        "type": "loop.disabled", "account": sender.account, "loop": loop["id"], "name": "the shop's",
        "url": loop["url"], "reason": "gone",
    }  # fmt: skip
    assert call.verified(watching["secret"])
    until(lambda: bool(sender.call("GET", f"/v1/loops/{loop['id']}").json()["state"] == "disabled"))
    sender.call("POST", f"/v1/loops/{loop['id']}/verify", expect=200)
    calls = watcher.wait(told(2))
    assert types(calls) == ["loop.disabled", "loop.recovered"]
    assert (calls[1].form["loop"], calls[1].form["reason"]) == (loop["id"], "gone")
    assert types(customer.calls) == ["open"], "no loop is told of itself"
    for one in (watcher, stranger):
        one.close()


def test_another_account_is_told_nothing(sender: Sender, customer: Customer) -> None:
    elsewhere, watcher = Customer(), Customer()
    Sender(_Line(sender)).loop(elsewhere, events=NOTICES)
    sender.loop(watcher, events=NOTICES)
    sender.loop(customer, events=["open"])
    customer.script.append(410)
    fetch(sender.mail()["open"])
    watcher.wait(told(1))
    assert elsewhere.calls == []
    for one in (elsewhere, watcher):
        one.close()


class _Line:
    """The line that a sender is on."""

    def __init__(self, sender: Sender) -> None:
        self.settings = sender.settings
        self.admin_key = "adm_test"

    def close(self) -> None:
        pytest.fail("it is the fixture's to close")
