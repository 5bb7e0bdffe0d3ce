"""What capture answers, header by header, and which hit it makes."""

from datetime import UTC, datetime

import msgspec
import pytest

from pipeline.capture.answer import (
    DONE,
    GIF,
    MAX_REFERER,
    MAX_USERAGENT,
    PAGE,
    Answer,
    Request,
    Response,
    Rules,
    answer,
)
from pipeline.capture.privacy import Privacy
from pipeline.capture.tokens import Kind, Link, sign, signing_key
from pipeline.model.hits import AnyHit, Click, Open, Unsubscribe
from pipeline.model.ids import uuid7

KEYS = {"k1": b"k" * 32}
RULES = Rules(KEYS)
NOW = datetime(2026, 3, 1, 12, 30, 45, 123456, UTC)
RANDOM = bytes(range(10))
ID = uuid7(NOW, RANDOM)
URL = "https://bücher.example/a?b=c"
LINK = Link("acme", "p-1", "m-1", "x@1")


def token(kind: Kind, link: Link = LINK) -> str:
    link = link._replace(url=URL) if kind == "click" and link.url is None else link
    return sign(link, kind, *signing_key(KEYS, link.account))


def asked(method: str, path: str, **more: str) -> Answer:
    request = Request(method, path, "203.0.113.9", NOW, more.get("useragent"), more.get("referer"))
    return answer(request, RULES, RANDOM)


PICTURE = Response(
    200,
    (("Content-Type", "image/gif"), ("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")),
    GIF,
)
UNSEEN = (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"), ("X-Robots-Tag", "noindex"))
NOT_FOUND = Response(404, (("Content-Type", "text/plain; charset=utf-8"), *UNSEEN), b"not found\n")
REDIRECT = Response(302, (("Location", "https://xn--bcher-kva.example/a?b=c"), *UNSEEN))


def refused(allow: str) -> Response:
    return Response(405, (("Allow", allow), *NOT_FOUND.headers), b"method not allowed\n")


def test_the_picture_is_a_gif_of_43_bytes() -> None:
    assert len(GIF) == 43
    assert GIF[:10] == b"GIF89a\x01\x00\x01\x00"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("suffix", ["", ".gif"])
def test_a_pixel_is_an_open(method: str, suffix: str) -> None:
    hit = Open(
        id=ID,
        account="acme",
        profile="p-1",
        mailing="m-1",
        message="x@1",
        at=NOW,
        ip="203.0.113.9",
        useragent="Thunderbird",
        method=method,
    )
    path = f"/o/{token('open')}{suffix}"
    assert asked(method, path, useragent="Thunderbird") == Answer("open", PICTURE, hit)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_leads_where_it_was_signed_for(method: str) -> None:
    hit = Click(
        id=ID,
        account="acme",
        profile="p-1",
        mailing="m-1",
        message="x@1",
        at=NOW,
        ip="203.0.113.9",
        referer="https://mail.example/",
        method=method,
        url=URL,
    )
    path = f"/c/{token('click')}"
    assert asked(method, path, referer="https://mail.example/") == Answer("click", REDIRECT, hit)


def test_a_post_unsubscribes() -> None:
    hit = Unsubscribe(
        id=ID, account="acme", profile="p-1", mailing="m-1", message="x@1", at=NOW, ip="203.0.113.9", method="POST"
    )
    assert asked("POST", f"/u/{token('unsubscribe')}") == Answer("unsubscribe", DONE, hit)
    assert DONE.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_of_an_unsubscribe_link_shows_one_button_and_changes_nothing(method: str) -> None:
    assert asked(method, f"/u/{token('unsubscribe')}") == Answer("page", PAGE)
    assert PAGE.status == 200
    assert PAGE.body.count(b"<button") == 1
    assert b'<form method="post">' in PAGE.body


def test_a_hit_reads_as_the_contract_says() -> None:
    hit = asked("GET", f"/c/{token('click')}").hit
    assert hit is not None
    assert msgspec.json.decode(msgspec.json.encode(hit)) == {
        "type": "click",
        "id": ID,
        "account": "acme",
        "profile": "p-1",
        "mailing": "m-1",
        "message": "x@1",
        "at": "2026-03-01T12:30:45.123456Z",
        "ip": "203.0.113.9",
        "method": "GET",
        "url": URL,
    }
    assert msgspec.json.decode(msgspec.json.encode(hit), type=AnyHit) == hit


BAD = ["", "x", "1.k1.a.b", token("open")[:-1], token("open") + "x", token("open") + "/x", token("open") + ".gif.gif"]


@pytest.mark.parametrize("bad", [*BAD, token("click"), token("unsubscribe")])
def test_a_bad_pixel_is_the_same_picture_and_no_hit(bad: str) -> None:
    assert asked("GET", f"/o/{bad}") == Answer("open", PICTURE, None, bad=True)
    assert asked("HEAD", f"/o/{bad}") == Answer("open", PICTURE, None, bad=True)


@pytest.mark.parametrize(
    "bad", [*BAD, token("open"), token("unsubscribe"), token("click") + ".gif", token("click") + "?"]
)
def test_a_bad_link_leads_nowhere(bad: str) -> None:
    assert asked("GET", f"/c/{bad}") == Answer("click", NOT_FOUND, None, bad=True)


@pytest.mark.parametrize("bad", [*BAD, token("open"), token("click")])
def test_a_bad_unsubscribe_link_is_not_found(bad: str) -> None:
    assert asked("GET", f"/u/{bad}") == Answer("page", NOT_FOUND, None, bad=True)
    assert asked("POST", f"/u/{bad}") == Answer("unsubscribe", NOT_FOUND, None, bad=True)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", "https://a@evil.example", "https://a/\r\nx: y"]
)
def test_not_even_the_key_makes_an_open_redirect(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.capture.tokens.checked", lambda unchecked: unchecked)
    path = f"/c/{token('click', LINK._replace(url=url))}"
    assert asked("GET", path) == Answer("click", NOT_FOUND, None, bad=True)


@pytest.mark.parametrize("where", ["?url=https://evil.example", "&url=https://evil.example", "/https://evil.example"])
def test_nothing_but_the_token_says_where(where: str) -> None:
    assert asked("GET", f"/c/{token('click')}{where}").response == NOT_FOUND


@pytest.mark.parametrize(
    ("method", "path", "is_answer"),
    [
        ("POST", f"/o/{token('open')}", Answer("open", refused("GET, HEAD"))),
        ("PUT", "/o/x", Answer("open", refused("GET, HEAD"))),
        ("POST", f"/c/{token('click')}", Answer("click", refused("GET, HEAD"))),
        ("OPTIONS", "/c/x", Answer("click", refused("GET, HEAD"))),
        ("DELETE", f"/u/{token('unsubscribe')}", Answer("page", refused("GET, HEAD, POST"))),
        ("POST", "/robots.txt", Answer("other", refused("GET, HEAD"))),
        ("GET", "/", Answer("other", NOT_FOUND)),
        ("GET", "", Answer("other", NOT_FOUND)),
        ("GET", "//o/x", Answer("other", NOT_FOUND)),
        ("GET", "/O/x", Answer("other", NOT_FOUND)),
        ("GET", "/robots.txt/x", Answer("other", NOT_FOUND)),
        ("GET", "/favicon.ico", Answer("other", NOT_FOUND)),
        ("GET", "*", Answer("other", NOT_FOUND)),
        ("GET", "/\ufffd/\0", Answer("other", NOT_FOUND)),
    ],
)
def test_all_else_is_told_plainly(method: str, path: str, is_answer: Answer) -> None:
    assert asked(method, path) == is_answer


def test_robots_are_kept_out() -> None:
    robots = Response(200, (("Content-Type", "text/plain; charset=utf-8"),), b"User-agent: *\nDisallow: /\n")
    assert asked("GET", "/robots.txt") == Answer("other", robots)


@pytest.mark.parametrize(
    ("useragent", "is_kept"),
    [
        ("", None),
        ("Mozilla/5.0", "Mozilla/5.0"),
        ("x" * (MAX_USERAGENT + 1), "x" * MAX_USERAGENT),
        ("Caf\u00e9 \u00ff\x80", "Caf\u00e9 \u00ff\x80"),
        ("\ud800\udfff", "??"),
    ],
)
def test_a_user_agent_of_any_kind_is_bounded_and_survives(useragent: str, is_kept: str | None) -> None:
    hit = asked("GET", f"/o/{token('open')}", useragent=useragent, referer=useragent * 2).hit
    assert hit is not None
    assert hit.useragent == is_kept
    assert len(hit.referer or "") <= MAX_REFERER
    assert msgspec.json.decode(msgspec.json.encode(hit), type=AnyHit) == hit


def test_the_policy_decides_what_is_kept_of_an_address() -> None:
    request = Request("GET", f"/o/{token('open')}", "203.0.113.9", NOW)
    hit = answer(request, Rules(KEYS, Privacy("truncate")), RANDOM).hit
    assert hit is not None
    assert hit.ip == "203.0.113.0"
