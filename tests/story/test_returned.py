"""What mail servers tell, and readers who leave, arrive as opens do; and what an account chose holds."""

import json
from typing import Any

import requests

from tests.customer import Customer
from tests.story.conftest import Sender
from tests.story.test_story import fetch, told


def test_a_complaint_by_link_and_an_unsubscribe_arrive(sender: Sender, customer: Customer) -> None:
    sender.knows()
    sender.loop(customer, events=["abuse", "failure", "unsubscribe"])
    links = sender.call("POST", "/v1/track", {"profile": "jane", "mailing": "spring", "message": "m-1"}).json()
    details = {"code": 550, "description": "no such user"}
    failed = {"type": "failure", "profile": "jane", "mailing": "spring", "message": "m-1", "details": details}
    for body in (failed, {"type": "abuse", "link": links["unsubscribe"]}):
        assert sender.call("POST", "/v1/hits", body, expect=202).json() == {"accepted": 1, "rejected": []}
    page = fetch(links["unsubscribe"])
    assert (page.status_code, page.text.count("<button")) == (200, 1)
    one_click = requests.post(links["unsubscribe"], {"List-Unsubscribe": "One-Click"}, timeout=20)
    assert one_click.status_code == 200

    calls = {call.form["type"]: call.form for call in customer.wait(told(3))}
    assert set(calls) == {"failure", "abuse", "unsubscribe"}
    for form in calls.values():
        assert (form["id"], form["recipient"], form["tags"]) == ("m-1", "jane@example.com", ["sale", "spring"])
    assert (calls["failure"]["code"], calls["failure"]["description"]) == ("550", "no such user")
    assert "machine" not in calls["abuse"]


def test_a_mail_that_was_rewritten_is_opened_and_clicked(sender: Sender, customer: Customer) -> None:
    sender.knows()
    sender.loop(customer)
    html = '<body><a href="https://shop.example/?a=1&amp;b=2">Buy</a></body>'
    wish = {"profile": "jane", "mailing": "spring", "html": html}
    mail = sender.call("POST", "/v1/track", wish).json()
    link, pixel = mail["html"].split('"')[1], mail["html"].split('src="')[1].split('"')[0]
    assert fetch(link).headers["Location"] == "https://shop.example/?a=1&b=2"
    assert fetch(pixel).status_code == 200
    assert {call.form["type"] for call in customer.wait(told(2))} == {"open", "click"}


def test_what_an_account_chose_of_its_readers_holds_soon(sender: Sender, customer: Customer) -> None:
    sender.knows()
    sender.loop(customer, format="json")
    sender.call("PUT", "/v1/privacy", {"obey_signals": True, "unregistered": ["secret"]})
    click = sender.mail()["click"]
    secret = sender.call("POST", "/v1/track", {"profile": "jane", "mailing": "secret"}).json()["open"]

    def asks() -> dict[str, Any]:
        seen = len(customer.calls)
        requests.get(click, headers={"Sec-GPC": "1"}, allow_redirects=False, timeout=20)
        return dict(json.loads(customer.wait(told(seen + 1))[-1].body))

    while "ip" in (found := asks()):  # about a second
        assert found["ip"] == "127.0.0.1"
    assert "useragent" not in found
    fetch(secret)
    assert asks()["mailing"] == "spring"
    assert {json.loads(call.body)["mailing"] for call in customer.calls} == {"spring"}
