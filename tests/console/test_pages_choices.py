"""An account sets its readers' privacy by a page and sees its domains; the operator gives these by another."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, NamedTuple

import pytest

from pipeline.kafka.memory import Memory
from tests.console.running import ADMIN, TOPICS, TRACKING, Console, running
from tests.console.visitor import Visitor, editor, viewer


class Cast(NamedTuple):
    console: Console
    key: str
    editor: Visitor
    operator: Visitor

    def privacy(self) -> Any:
        return self.console.call("GET", "/v1/privacy", self.key).json()

    def domains(self, account: str = "acme") -> Any:
        return self.console.call("GET", f"/v1/accounts/{account}/domains", ADMIN).json()["domains"]


@pytest.fixture
def cast() -> Iterator[Cast]:
    with running(Memory(TOPICS)) as console:
        key = console.account("acme")
        operator = Visitor(console)
        assert operator.by_key(ADMIN).status_code == 303
        yield Cast(console, key, editor(console, key), operator)


def words(page: str) -> str:
    """What is read on it."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def give(cast: Cast, domains: str, account: str = "acme") -> Any:
    page = cast.operator.get(f"/system/accounts/{account}").text
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    return cast.operator.post(f"/system/accounts/{account}", {"domains": domains, "token": token[1]})


def test_an_editor_sets_what_is_kept_of_readers(cast: Cast) -> None:
    page = cast.editor.get("/settings")
    assert (page.status_code, 'aria-current="page"' in page.text) == (200, True)
    answer = cast.editor.post("/settings", {"obey_signals": "yes", "unregistered": "m1, m2\n m3 \n"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    assert cast.privacy() == {"obey_signals": True, "unregistered": ["m1", "m2", "m3"]}
    page = cast.editor.get("/settings")
    assert "Saved. It holds for what is opened from now on." in words(page.text)
    assert ">m1\nm2\nm3</textarea>" in page.text
    assert re.search(r'name="obey_signals" value="yes" checked', page.text)
    cast.editor.post("/settings", {"unregistered": ""})
    assert cast.privacy() == {"obey_signals": False, "unregistered": []}


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("m1\nspring sale", "spring sale is no id of a mailing: 1 to 128 letters, digits and . _ : @ + -."),
        ("m1\nm1", "Has m1 twice."),
        ("<b>", "<b> is no id of a mailing: 1 to 128 letters, digits and . _ : @ + -."),
    ],
)
def test_what_is_wrong_is_told_beside_the_field_and_nothing_is_saved(cast: Cast, typed: str, what: str) -> None:
    answer = cast.editor.post("/settings", {"obey_signals": "yes", "unregistered": typed})
    assert answer.status_code == 422
    assert what in unescape(answer.text)
    assert "<b>" not in answer.text.partition('id="unregistered"')[2]
    assert "Nothing was saved: look at mailings that register nothing." in words(answer.text)
    assert re.search(r'name="obey_signals" value="yes" checked', answer.text), "what was typed is shown again"
    assert cast.privacy() == {"obey_signals": False, "unregistered": []}


def test_a_viewer_sees_it_and_changes_nothing(cast: Cast) -> None:
    cast.editor.post("/settings", {"obey_signals": "yes", "unregistered": "m1\nm2"})
    give(cast, "t.acme.example")
    one = viewer(cast.console)
    page = one.get("/settings").text
    assert "Obeyed: neither address nor user agent is kept" in words(page)
    assert "m1, m2" in words(page)
    assert "https://t.acme.example" in words(page)
    assert 'action="/settings"' not in page
    assert one.post("/settings", {"unregistered": ""}).status_code == 403
    assert cast.privacy()["obey_signals"] is True


def test_an_account_sees_its_domains_and_can_t_give_itself_one(cast: Cast) -> None:
    page = words(cast.editor.get("/settings").text)
    assert (
        "There are none: links lead where everybody's do. Who operates this installation gives them. "
        f"New links {TRACKING}" in page
    )
    for path in ("/system/accounts/acme", "/system"):
        assert cast.editor.get(path).status_code == 404
    assert cast.editor.post("/system/accounts/acme", {"domains": "t.acme.example"}).status_code == 404
    assert cast.domains() == []


def test_the_operator_gives_an_account_its_domains(cast: Cast) -> None:
    assert 'href="/system/accounts/acme"' in cast.operator.get("/system").text
    answer = give(cast, "t.acme.example\nhttp://links.acme.example:8080")
    assert (answer.status_code, answer.headers["location"]) == (303, "/system/accounts/acme")
    assert cast.domains() == ["https://t.acme.example", "http://links.acme.example:8080"]
    assert "Saved." in words(cast.operator.get("/system/accounts/acme").text)
    page = words(cast.editor.get("/settings").text)
    assert "New links https://t.acme.example Also http://links.acme.example:8080" in page
    assert give(cast, "").status_code == 303
    assert cast.domains() == []


def test_a_domain_that_is_none_or_another_s_is_told(cast: Cast) -> None:
    cast.console.account("rival")
    give(cast, "t.acme.example")
    for typed, what in (
        ("ftp://x.example", "'ftp://x.example' can't be a domain of links: the address must begin with http:// or"),
        ("t.acme.example", "https://t.acme.example is another account's."),
        (TRACKING, f"{TRACKING} is where everybody's links lead."),
    ):
        answer = give(cast, typed, "rival")
        assert (answer.status_code, what in unescape(answer.text)) == (422, True)
        assert cast.domains("rival") == []
    assert cast.operator.get("/system/accounts/nobody").status_code == 404


def test_the_operator_sees_no_account_s_choices(cast: Cast) -> None:
    assert cast.operator.get("/settings").headers["location"] == "/system"
