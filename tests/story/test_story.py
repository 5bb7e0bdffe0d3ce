"""A mail is opened and clicked, and the customer's server knows who it was: the same story on both Kafkas."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.customer import Call, Customer
from tests.story.conftest import Sender

READER = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Referer": "https://mail.example/",
}


def fetch(url: str) -> requests.Response:
    return requests.get(url, headers=READER, allow_redirects=False, timeout=20)


def told(count: int) -> Callable[[list[Call]], bool]:
    return lambda calls: len(calls) >= count


def test_an_open_and_a_click_arrive_signed_with_recipient_fields_and_tags(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer)
    mail = sender.mail()

    pixel, link = fetch(mail["open"]), fetch(mail["click"])
    assert (pixel.status_code, len(pixel.content), pixel.headers.get("loopwire-hit")) == (200, 43, None)
    assert (link.status_code, link.headers["Location"]) == (302, "https://shop.example/a?b=c")

    calls = {call.form["type"]: call for call in customer.wait(told(2))}
    assert set(calls) == {"open", "click"}
    known = {
        "id": "m-1",
        "recipient": "jane@example.com",
        "ip": "127.0.0.1",
        "useragent": READER["User-Agent"],
        "referer": READER["Referer"],
        "tags": ["sale", "spring"],
        "mailing": "spring",
        "profile": "jane",
        "account": sender.account,
        "fields[city]": "Utrecht",
        "interests": ["tea"],
        "machine": "false",
        "client": "Firefox 140",
        "system": "Windows 10",
        "device": "desktop",
    }
    changing = {"event", "timestamp", "time"}
    for kind, more in (("open", {}), ("click", {"original": "https://shop.example/a?b=c"})):
        form = {name: value for name, value in calls[kind].form.items() if name not in changing}
        assert form == known | {"type": kind} | more
        assert calls[kind].headers["content-type"] == "application/x-www-form-urlencoded"
        assert calls[kind].headers["loopwire-loop"] == loop["id"]
        assert calls[kind].headers["loopwire-attempt"] == "1"
        assert calls[kind].verified(loop["secret"])


def test_a_json_loop_is_told_the_same_as_json(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer, format="json", events=["open"], fields=[], headers={"Authorization": "Bearer mine"})
    fetch(sender.mail()["open"])
    [call] = customer.wait(told(1))
    body: dict[str, Any] = json.loads(call.body)
    assert (body["type"], body["recipient"], body["tags"], body.get("fields")) == (
        "open",
        "jane@example.com",
        ["sale", "spring"],
        None,
    )
    assert isinstance(body["time"], int)
    assert call.headers["authorization"] == "Bearer mine"
    assert call.verified(loop["secret"])


def test_a_hit_of_an_unknown_profile_still_becomes_an_event(sender: Sender, customer: Customer) -> None:
    sender.loop(customer)
    fetch(sender.mail(profile="stranger")["open"])
    [call] = customer.wait(told(1))
    assert "recipient" not in call.form
    assert call.form["profile"] == "stranger"


def test_a_profile_that_was_answered_is_known_to_the_next_hit(sender: Sender, customer: Customer) -> None:
    sender.loop(customer, events=["open"])
    for number in range(5):
        sender.call("PUT", "/v1/profiles/jane", {"email": f"jane{number}@example.com"}, expect=204)
        fetch(sender.mail(message=f"m-{number}")["open"])
    for call in customer.wait(told(5)):  # a later change may be known as well, an earlier one alone may not
        known_by_then = int(call.form["id"].removeprefix("m-"))
        assert call.form["recipient"] in {f"jane{number}@example.com" for number in range(known_by_then, 5)}


def test_a_500_climbs_the_ladder_and_arrives_under_the_same_id(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer, events=["open"])
    customer.script.extend([500, 503])
    fetch(sender.mail()["open"])
    calls = customer.wait(told(3))
    assert [call.headers["loopwire-attempt"] for call in calls] == ["1", "2", "3"]
    assert len({(call.headers["webhook-id"], call.body) for call in calls}) == 1
    stamps = [int(call.headers["webhook-timestamp"]) for call in calls]
    assert stamps[1] - stamps[0] >= 1
    assert stamps[2] - stamps[1] >= 2
    assert all(call.verified(loop["secret"]) for call in calls)


def test_a_410_disables_the_loop_until_it_is_verified_again(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer, events=["open"])
    witness = Customer()
    sender.loop(witness, events=["open"])
    customer.script.append(410)
    fetch(sender.mail(message="told-to-stop")["open"])
    customer.wait(told(1))
    witness.wait(told(1))

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = sender.call("GET", f"/v1/loops/{loop['id']}").json()
        return found

    until(lambda: shown()["state"] == "disabled")
    assert shown()["reason"] == "gone"
    fetch(sender.mail(message="while-disabled")["open"])
    witness.wait(told(2))

    assert sender.call("POST", f"/v1/loops/{loop['id']}/verify").json()["state"] == "active"
    fetch(sender.mail(message="again")["open"])
    customer.wait(lambda calls: any(call.form["id"] == "again" for call in calls))
    calls = customer.wait(lambda calls: any(call.form["id"] == "while-disabled" for call in calls))
    assert [call.form["id"] for call in calls].count("told-to-stop") == 1
    witness.close()


def test_an_unverified_loop_gets_nothing(sender: Sender, customer: Customer) -> None:
    sender.knows()
    sender.loop(customer, verify=False)
    witness = Customer()
    sender.loop(witness)
    for number in range(3):
        fetch(sender.mail(message=f"m-{number}")["open"])
    witness.wait(told(3))
    assert customer.calls == []
    witness.close()


def test_a_new_url_gets_nothing_until_it_is_verified_and_then_what_it_missed(
    sender: Sender, customer: Customer
) -> None:
    sender.knows()
    loop = sender.loop(customer, events=["open"])
    elsewhere, witness = Customer(), Customer()
    sender.loop(witness, events=["open"])
    changed = sender.call("PATCH", f"/v1/loops/{loop['id']}", {"url": elsewhere.origin + "/in"}, expect=200).json()
    assert changed["state"] == "unverified"
    fetch(sender.mail()["open"])
    witness.wait(told(1))
    assert (customer.calls, elsewhere.calls) == ([], [])
    proof = changed["verification"]
    elsewhere.files[f"/{proof['file']}"] = proof["content"]
    sender.call("POST", f"/v1/loops/{loop['id']}/verify", expect=200)
    [call] = elsewhere.wait(told(1))
    assert call.headers["loopwire-loop"] == loop["id"]
    elsewhere.close()
    witness.close()


def test_a_patch_holds_for_every_hit_answered_after_its_200(sender: Sender, customer: Customer) -> None:
    sender.knows()
    loop = sender.loop(customer, events=["open", "click"])
    sender.call("PATCH", f"/v1/loops/{loop['id']}", {"events": ["click"]}, expect=200)
    mail = sender.mail()
    fetch(mail["open"])
    fetch(mail["click"])
    [call] = customer.wait(told(1))
    assert call.form["type"] == "click"


def test_a_paused_loop_is_sent_after_its_resume_what_it_missed_once_and_in_between_nothing(
    sender: Sender, customer: Customer
) -> None:
    sender.knows()
    loop, witness = sender.loop(customer, events=["open"]), Customer()
    sender.loop(witness, events=["open"])
    fetch(sender.mail(message="before")["open"])
    customer.wait(told(1))

    assert sender.call("POST", f"/v1/loops/{loop['id']}/pause", expect=200).json()["state"] == "paused"
    missed = {f"missed-{number}" for number in range(20)}
    for message in missed:
        fetch(sender.mail(message=message, profile=f"p-{message}")["open"])
    witness.wait(told(21))
    assert [call.form["id"] for call in customer.calls] == ["before"]

    assert sender.call("POST", f"/v1/loops/{loop['id']}/resume", expect=200).json()["state"] == "active"
    fetch(sender.mail(message="after")["open"])
    calls = customer.wait(told(22))
    assert sorted(call.form["id"] for call in calls) == sorted(["before", "after", *missed])
    assert len({call.headers["webhook-id"] for call in calls}) == 22
    assert all(call.verified(loop["secret"]) for call in calls)
    witness.close()


def test_what_a_loop_missed_comes_without_a_new_event(sender: Sender, customer: Customer) -> None:
    loop, witness = sender.loop(customer, events=["open"]), Customer()
    sender.loop(witness, events=["open"])
    sender.call("POST", f"/v1/loops/{loop['id']}/pause", expect=200)
    fetch(sender.mail(message="missed")["open"])
    witness.wait(told(1))
    sender.call("POST", f"/v1/loops/{loop['id']}/resume", expect=200)
    [call] = customer.wait(told(1))
    assert (call.form["id"], call.headers["loopwire-attempt"]) == ("missed", "1")
    witness.close()


@pytest.mark.parametrize("bend", ["last", "middle", "kind", "account"])
def test_a_tampered_token_never_redirects(sender: Sender, customer: Customer, bend: str) -> None:
    mail = sender.mail()
    base, _, token = mail["click"].rpartition("/c/")
    bent = {
        "last": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "middle": token[: len(token) // 2]
        + ("x" if token[len(token) // 2] != "x" else "y")
        + token[len(token) // 2 + 1 :],
        "kind": mail["open"].rpartition("/")[2].removesuffix(".gif"),
        "account": token.replace(".", ".x", 2),
    }[bend]
    answer = fetch(f"{base}/c/{bent}")
    assert (answer.status_code, answer.headers.get("Location")) == (404, None)
    assert fetch(f"{base}/o/{bent}").content[:6] == b"GIF89a" or bend == "kind"


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)
