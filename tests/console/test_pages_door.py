"""The door of every page: no session, a viewer, another account, a form from elsewhere; and what all answers say."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import MagicMock

import pytest
import requests

from pipeline.console.pages import routes
from pipeline.console.pages.headers import HEADERS
from pipeline.kafka.memory import Memory
from tests.console.attempting import attempt, attempts, event
from tests.console.dying import bury, letters
from tests.console.running import TOPICS, Console, running
from tests.console.visitor import Visitor, editor, viewer

OPEN = [("GET", "/"), ("GET", "/login"), ("POST", "/login"), ("POST", "/theme"), ("GET", "/static/{name}")]
SIGNED_IN = [
    ("POST", "/logout"),
    ("GET", "/loops"),
    ("GET", "/watch"),
    ("GET", "/recipients"),
    ("GET", "/settings"),
    ("GET", "/loops/{loop}"),
    ("GET", "/loops/{loop}/file"),
    ("GET", "/loops/{loop}/verify"),
    ("GET", "/loops/{loop}/test"),
    ("GET", "/loops/{loop}/lane"),
    ("GET", "/loops/{loop}/attempts"),
    ("GET", "/loops/{loop}/attempts/{attempt}"),
    ("GET", "/loops/{loop}/dead"),
    ("GET", "/loops/{loop}/dead/{delivery}"),
    ("GET", "/loops/{loop}/replays"),
    ("GET", "/loops/{loop}/replays/{replay}"),
    ("GET", "/loops/{loop}/replays/{replay}/progress"),
    ("GET", "/loops/{loop}/history"),
]
CHANGES = [
    ("GET", "/loops/new"),
    ("POST", "/loops/new"),
    ("POST", "/loops/preview"),
    ("POST", "/loops/{loop}/pause"),
    ("POST", "/loops/{loop}/resume"),
    ("POST", "/loops/{loop}/verify"),
    ("POST", "/loops/{loop}/test"),
    ("GET", "/loops/{loop}/settings"),
    ("POST", "/loops/{loop}/settings"),
    ("POST", "/loops/{loop}/secrets"),
    ("POST", "/loops/{loop}/remove"),
    ("POST", "/loops/{loop}/attempts/{attempt}/again"),
    ("POST", "/loops/{loop}/dead/redrive"),
    ("POST", "/loops/{loop}/dead/purge"),
    ("POST", "/loops/{loop}/replays"),
    ("POST", "/loops/{loop}/replays/{replay}/cancel"),
    ("POST", "/settings"),
]
# Asked by tests of their own: one does not end, the others are the operator's.
APART = [
    ("GET", "/watch/stream"),
    ("GET", "/system"),
    ("GET", "/system/accounts/{account}"),
    ("POST", "/system/accounts/{account}"),
]


class Cast(NamedTuple):
    """Who is signed in as whom; the loop is acme's."""

    console: Console
    editor: Visitor
    viewer: Visitor
    stranger: Visitor
    loop: str
    attempt: str
    replay: str

    def path(self, path: str) -> str:
        return path.format(loop=self.loop, name="app.css", attempt=self.attempt, replay=self.replay, delivery="msg_1")

    def ask(self, who: Visitor, method: str, path: str) -> "tuple[int, str, dict[str, str]]":
        """Status, text and headers."""
        filled = self.path(path)
        answer = who.get(filled) if method == "GET" else who.post(filled)
        return answer.status_code, answer.text, {name.lower(): value for name, value in answer.headers.items()}


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key, other = console.account("acme"), console.account("other")
        loop = console.loop(key)["id"]
        attempt(memory, loop, event(memory))
        [made] = attempts(console, key, loop)
        bury(memory, loop, "msg_1")
        letters(console, key, loop, 1)
        span = {"from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z", "dry_run": True}
        replay = console.call("POST", f"/v1/loops/{loop}/replays", key, json=span).json()["id"]
        people = editor(console, key), viewer(console), editor(console, other)
        yield Cast(console, *people, loop, made["id"], replay)


def test_the_tables_have_every_page() -> None:
    every = routes.pages(MagicMock(), MagicMock(), MagicMock())  # they are listed, none is asked
    assert {(page.method, page.path) for page in every if not page.signed_in} == set(OPEN[:-1])
    assert {(page.method, page.path) for page in every if page.changes} == set(CHANGES)
    assert {(page.method, page.path) for page in every} == {*OPEN[:-1], *SIGNED_IN, *CHANGES, *APART}


@pytest.mark.parametrize(("method", "path"), SIGNED_IN + CHANGES)
def test_without_a_session_every_page_leads_to_the_sign_in(cast: Cast, method: str, path: str) -> None:
    status, _, headers = cast.ask(Visitor(cast.console), method, path)
    assert status == 303
    assert re.fullmatch(r"/login(\?next=%2F(loops[%\w]*|watch|recipients|settings))?", headers["location"])
    assert ("next" in headers["location"]) == (method == "GET")


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_viewer_changes_nothing(cast: Cast, method: str, path: str) -> None:
    status, text, _ = cast.ask(cast.viewer, method, path)
    assert status == 403
    assert "signed in as a viewer" in text


@pytest.mark.parametrize(("method", "path"), SIGNED_IN[1:])
def test_a_viewer_sees_all_and_no_button_that_changes(cast: Cast, method: str, path: str) -> None:
    status, text, _ = cast.ask(cast.viewer, method, path)
    assert status == 200
    assert set(re.findall(r'<form[^>]*action="([^"]*)"', text)) <= {
        "/theme",
        "/logout",
        "/loops",
        "/watch",
        "/recipients",
    }
    assert "/loops/new" not in text
    assert cast.path("/loops/{loop}/settings") not in text or "steps" in text


@pytest.mark.parametrize(("method", "path"), [one for one in SIGNED_IN + CHANGES if "{loop}" in one[1]])
def test_another_account_s_loop_is_not_there(cast: Cast, method: str, path: str) -> None:
    status, text, _ = cast.ask(cast.stranger, method, path)
    unknown = cast.ask(cast.stranger, method, path.replace("{loop}", "lp_none"))
    assert (status, unknown[0]) == (404, 404)
    assert "There is nothing here" in text
    assert "shop" not in text


@pytest.mark.parametrize(("method", "path"), [one for one in OPEN + SIGNED_IN + CHANGES if one[0] == "POST"])
@pytest.mark.parametrize(
    ("token", "origin"),
    [
        ("", "{url}"),
        ("wrong", "{url}"),
        ("{stranger}", "{url}"),
        ("{own}", "https://evil.example"),
        ("{own}", "null"),
        ("{own}", ""),
        ("{own}", "{url}.evil.example"),
    ],
)
def test_a_form_from_elsewhere_is_refused(cast: Cast, method: str, path: str, token: str, origin: str) -> None:
    words = {"url": cast.console.url, "stranger": cast.stranger.token(), "own": cast.editor.token()}
    form, headers = {"token": token.format(**words)}, {"origin": origin.format(**words)}
    answer = cast.editor.post(cast.path(path), form, headers=headers)
    assert answer.status_code == 403
    assert "not sent from a page of this console" in answer.text
    assert cast.editor.is_in


@pytest.mark.parametrize("who", ["editor", "viewer", "nobody"])
@pytest.mark.parametrize(("method", "path"), [*OPEN, *SIGNED_IN[1:], ("GET", "/nothing"), ("GET", "/loops/lp_none")])
def test_every_answer_says_what_a_browser_may_do(cast: Cast, method: str, path: str, who: str) -> None:
    visitor = Visitor(cast.console) if who == "nobody" else getattr(cast, who)
    status, text, headers = cast.ask(visitor, method, path)
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "'unsafe" not in headers["content-security-policy"]
    if status != 303 and headers["content-type"].startswith("text/html"):
        assert not re.search(r"<style|<script(?! src=\"/static/)|\sstyle=|\son[a-z]+=|javascript:", text)
        assert not re.search(r"(src|href)=\"(https?:)?//(?!www\.standardwebhooks|shop\.example)", text)


def test_static_files_are_kept_for_good_under_the_address_of_their_content(cast: Cast) -> None:
    addresses = re.findall(r'"(/static/[^"]+)"', cast.editor.get("/loops").text)
    assert {one.partition("?")[0].rpartition(".")[2] for one in addresses} == {"css", "js", "svg"}
    for address in addresses:
        answer = Visitor(cast.console).get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    for path in ("/static/nothing.js", "/static/..%2Frun.py", "/static/%2e%2e/run.py"):
        assert Visitor(cast.console).get(path).status_code == 404


def test_a_program_that_asks_for_what_is_not_there_gets_a_problem(cast: Cast) -> None:
    for path, accept in (("/nothing", "*/*"), ("/v1/nothing", "text/html")):
        answer = cast.editor.get(path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_body_that_is_no_form_or_too_large_gets_a_page(cast: Cast) -> None:
    origin = {"origin": cast.console.url}
    for headers, body, status in (
        ({"content-type": "application/json"}, b"{}", 415),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=1&" * 600, 400),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a" * 70_000, 413),
    ):
        try:
            answer = cast.editor.session.post(
                f"{cast.console.url}/loops/new", body, headers=origin | headers, timeout=20
            )
        except requests.ConnectionError:
            assert status == 413, "who sends too much may be hung up on in the middle of it"
            continue
        finally:
            cast.editor.session.close()  # no other call of this visitor finds a connection that is being closed
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert answer.headers.get("connection") == ("close" if status == 413 else None)
