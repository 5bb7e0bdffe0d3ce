"""Signing in: by key or as a user, refused, limited, and over when what one signed in with is."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import NamedTuple

import msgspec
import pytest
import requests

from pipeline.kafka.memory import Memory
from pipeline.model.accounts import Account
from tests.console.running import ADMIN, TOPICS, Console, rows, running
from tests.console.visitor import PASSWORD, Visitor, editor, user


class Cast(NamedTuple):
    """A console with an account acme, its key, and its Kafka."""

    console: Console
    memory: Memory
    key: str


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        user(console, "jane", "editor")
        yield Cast(console, memory, key)


def _cookie(answer: requests.Response, name: str = "loopwire-session") -> str:
    """The attributes of a cookie that was set, in lower case, without its value."""
    found = [one for one in answer.raw.headers.getlist("set-cookie") if one.startswith(f"{name}=")]
    return found[0].partition(";")[2].lower() if found else ""


def test_the_first_page_leads_to_the_sign_in_and_after_it_to_the_loops(cast: Cast) -> None:
    visitor = Visitor(cast.console)
    assert visitor.get("/").headers["location"] == "/login"
    assert visitor.by_key(f" {cast.key} ").headers["location"] == "/loops"
    assert visitor.get("/").headers["location"] == "/loops"
    assert visitor.get("/login").headers["location"] == "/loops"
    assert "by API key" in visitor.get("/loops").text


def test_as_a_user_one_is_greeted_by_name(cast: Cast) -> None:
    visitor = Visitor(cast.console)
    assert visitor.as_user("acme", "jane").headers["location"] == "/loops"
    assert "jane, editor of acme" in visitor.get("/loops").text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"key": "lw_wrong"}, "This key opens no account."),
        ({"key": ""}, "This key opens no account."),
        ({"key": ADMIN + "x"}, "This key opens no account."),
        ({"account": "acme", "user": "jane", "password": "wrong"}, "Account, name or password is wrong."),
        ({"account": "acme", "user": "jane", "password": ""}, "Account, name or password is wrong."),
        ({"account": "acme", "user": "nobody", "password": PASSWORD}, "Account, name or password is wrong."),
        ({"account": "other", "user": "jane", "password": PASSWORD}, "Account, name or password is wrong."),
    ],
)
def test_anything_else_is_refused_in_the_same_words(cast: Cast, form: dict[str, str], told: str) -> None:
    visitor = Visitor(cast.console)
    answer = visitor.post("/login", form)
    assert answer.status_code == 401
    assert told in answer.text
    assert _cookie(answer) == ""
    assert PASSWORD not in answer.text
    assert not visitor.is_in


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/loops/new?a=1", "/loops/new?a=1"),
        ("//evil.example", "/loops"),
        ("/\\evil.example", "/loops"),
        ("https://evil.example", "/loops"),
        ("/\t/evil.example", "/loops"),
        ("///evil.example", "/loops"),
        ("/loops\r\nset-cookie: a=b", "/loops"),
        ("/\u2028/evil.example", "/loops"),
        ("javascript:alert(1)", "/loops"),
        ("", "/loops"),
    ],
)
def test_one_comes_back_to_the_page_that_was_asked_for_and_to_no_other_site(
    cast: Cast, asked: str, location: str
) -> None:
    visitor = Visitor(cast.console)
    assert visitor.by_key(cast.key, next=asked).headers["location"] == location
    assert visitor.get("/login", params={"next": asked}).headers["location"] == location
    back = visitor.post("/theme", {"theme": "dark", "back": asked}).headers
    assert (back["location"], [one for one in back if "a=b" in back[one]]) == (location, [])


def test_the_cookie_is_for_the_browser_alone(cast: Cast) -> None:
    assert _cookie(Visitor(cast.console).by_key(cast.key)) == " httponly; max-age=43200; path=/; samesite=lax"
    visitor = Visitor(cast.console)
    token = visitor.token()
    answer = visitor.post("/login", {"key": cast.key, "token": token}, headers={"x-forwarded-proto": "https"})
    assert _cookie(answer) == " httponly; max-age=43200; path=/; samesite=lax; secure"


def test_no_cookie_of_before_is_a_session_and_another_sign_in_ends_the_one_before(cast: Cast) -> None:
    fixed, visitor = "A" * 22, Visitor(cast.console)
    for name in ("loopwire-visitor", "loopwire-session"):
        visitor.session.cookies.set(name, fixed, domain="127.0.0.1", path="/")
    assert not visitor.is_in
    visitor.by_key(cast.key)
    first = visitor.session.cookies.get("loopwire-session", domain="127.0.0.1") or ""
    assert fixed not in first
    kept = Visitor(cast.console)
    kept.session.cookies.set("loopwire-session", first, domain="127.0.0.1", path="/")
    assert kept.is_in
    visitor.as_user("acme", "jane")
    assert (visitor.is_in, kept.is_in) == (True, False)


def test_signing_out_takes_the_cookie_away(cast: Cast) -> None:
    visitor = editor(cast.console, cast.key)
    answer = visitor.post("/logout")
    assert answer.headers["location"] == "/login"
    assert "max-age=0" in _cookie(answer)
    assert not visitor.is_in


def test_a_cookie_that_was_altered_is_no_session(cast: Cast) -> None:
    visitor = editor(cast.console, cast.key)
    cookie = visitor.session.cookies["loopwire-session"]
    for at in (0, len(cookie) // 2, -1):
        other = "A" if cookie[at] != "A" else "B"
        altered = cookie[:at] + other + cookie[at:][1:]
        visitor.session.cookies.set("loopwire-session", altered, domain="127.0.0.1", path="/")
        again = requests.get(
            f"{visitor.url}/loops", cookies={"loopwire-session": altered}, allow_redirects=False, timeout=20
        )
        assert again.headers["location"] == "/login?next=%2Floops"


def test_who_is_removed_is_out_at_once(cast: Cast) -> None:
    visitor = Visitor(cast.console)
    visitor.as_user("acme", "jane")
    assert visitor.is_in
    cast.console.call("DELETE", "/v1/accounts/acme/users/jane", ADMIN)
    assert not visitor.is_in
    user(cast.console, "jane", "editor")  # another hash: the old session is not hers
    assert not visitor.is_in


def test_another_password_ends_the_sessions_of_the_old_one_and_no_others(cast: Cast) -> None:
    visitor, other = Visitor(cast.console), editor(cast.console, cast.key)
    visitor.as_user("acme", "jane")
    new = {"password": "another long password"}
    cast.console.call("POST", "/v1/accounts/acme/users/jane/password", ADMIN, json=new)
    assert (visitor.is_in, other.is_in) == (False, True)
    assert visitor.as_user("acme", "jane").status_code == 401
    assert visitor.as_user("acme", "jane", new["password"]).status_code == 303


def test_another_role_or_another_key_ends_the_session(cast: Cast) -> None:
    jane, keyed = Visitor(cast.console), editor(cast.console, cast.key)
    jane.as_user("acme", "jane")
    kept = msgspec.json.decode(rows(cast.memory, "accounts")[-1][1] or b"", type=Account)
    users = [msgspec.structs.replace(kept.users[0], role="viewer")]
    changed = msgspec.structs.replace(kept, users=users, keys=[])
    cast.memory.producer().produce("accounts", msgspec.json.encode(changed), b"acme")
    cast.console.account("other")  # whatever was written before it is known
    assert (jane.is_in, keyed.is_in) == (False, False)


def test_a_session_opens_no_call_of_the_api(cast: Cast) -> None:
    visitor = editor(cast.console, cast.key)
    for method, path in (("GET", "/v1/loops"), ("POST", "/v1/loops"), ("GET", "/v1/accounts/acme/users")):
        answer = visitor.session.request(method, visitor.url + path, timeout=20)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_who_tries_too_often_waits(cast: Cast) -> None:
    visitor = Visitor(cast.console)
    token = visitor.token()
    form = {"account": "acme", "user": "jane", "password": "wrong", "token": token}
    statuses = [visitor.post("/login", form).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    answer = visitor.post("/login", form | {"password": PASSWORD})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 11
    assert "Too many attempts" in answer.text
    assert visitor.post("/login", form | {"account": "other"}).status_code == 401  # another account's tries
    keys = [visitor.post("/login", {"key": "lw_wrong", "token": token}).status_code for _ in range(30)]
    assert keys[-1] == 429  # the address's


def test_a_theme_is_kept_and_given_up(cast: Cast) -> None:
    visitor = editor(cast.console, cast.key)
    assert "data-theme" not in visitor.get("/loops").text
    assert visitor.post("/theme", {"theme": "dark", "back": "/loops?q=a"}).headers["location"] == "/loops?q=a"
    assert '<html lang="en" data-theme="dark">' in visitor.get("/loops").text
    visitor.post("/theme", {"theme": '"><script>'})
    assert "data-theme" not in visitor.get("/loops").text


def test_a_cookie_is_written_again_only_when_it_is_old(cast: Cast) -> None:
    visitor = editor(cast.console, cast.key)
    assert SimpleCookie(visitor.get("/loops").headers.get("set-cookie", "")) == SimpleCookie()
