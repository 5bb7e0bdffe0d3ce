"""An open redirect is impossible: whatever is asked, a Location is one that an account signed, and no other."""

import base64
import re
import string
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.answer import NOT_FOUND, Answer, Request, Rules, answer
from pipeline.capture.choices import Chosen
from pipeline.capture.tokens import Kind, Link, account_key, sign, signing_key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = {"k2": b"n" * 32, "k1": b"r" * 32}
URL = "https://shop.example/spring?a=1#b"
LINK = Link("acme", "jane", "spring-sale", "x@1", URL)
GOOD = sign(LINK, "click", *signing_key(KEYS, "acme"))
OTHER = sign(LINK._replace(account="rival", url="https://evil.example/"), "click", *signing_key(KEYS, "rival"))
RETIRED = sign(LINK, "click", "k1", account_key(KEYS["k1"], "acme"))
VERSION, KID, PAYLOAD, MAC = GOOD.split(".")


def asked(path: str, rules: Rules = Rules(KEYS), method: str = "GET", **more: str) -> Answer:  # noqa: B008
    return answer(Request(method, path, "203.0.113.9", NOW, **more), rules, bytes(10))  # type: ignore[arg-type]


def location(found: Answer) -> str | None:
    return dict(found.response.headers).get("Location")


def test_a_link_that_was_signed_leads_where_it_says_under_a_retired_key_too() -> None:
    assert location(asked(f"/c/{GOOD}")) == URL
    assert location(asked(f"/c/{RETIRED}")) == URL
    assert location(asked(f"/c/{RETIRED}", Rules({"k2": KEYS["k2"]}))) is None


def swapped(payload: str, old: bytes, new: bytes) -> str:
    """The payload with other bytes in it."""
    data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert old in data
    return base64.urlsafe_b64encode(data.replace(old, new)).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        f"{VERSION}.{KID}.{swapped(PAYLOAD, b'shop.example', b'evil.example')}.{MAC}",
        f"{VERSION}.{KID}.{swapped(PAYLOAD, b'https://shop', b'https://a@evil')}.{MAC}",
        f"{VERSION}.{KID}.{swapped(PAYLOAD, b'https://shop', b'//shop')}.{MAC}",
        f"{VERSION}.{KID}.{swapped(PAYLOAD, b'https:', b'javascript:')}.{MAC}",
        f"{VERSION}.{KID}.{OTHER.split('.')[2]}.{MAC}",
        f"{VERSION}.{KID}.{PAYLOAD}.{OTHER.split('.')[3]}",
        f"{VERSION}.k1.{PAYLOAD}.{MAC}",
        f"{VERSION}.{KID}.{PAYLOAD}.{RETIRED.split('.')[3]}",
        sign(LINK, "click", "k2", account_key(KEYS["k2"], "rival")),
        sign(LINK, "click", "k2", account_key(KEYS["k1"], "acme")),
        sign(LINK, "click", "k3", account_key(KEYS["k2"], "acme")),
        sign(LINK._replace(url=None), "open", "k2", account_key(KEYS["k2"], "acme")),
        sign(LINK._replace(url=None), "unsubscribe", "k2", account_key(KEYS["k2"], "acme")),
        *(f"{GOOD}{more}" for more in ("=", ".", "/", "//evil.example", "?u=https://evil.example", "#x", "\r\nX: y",
                                       "%0d%0a", "\0", " ", ".gif", "@evil.example", "\\evil.example", "\u2028")),
        *(f"{less}{GOOD}" for less in (".", " ", "/", "//evil.example/", "https://evil.example/", "\u200b", "..%2f")),
        GOOD.swapcase(), GOOD[::-1], GOOD[:-1], GOOD.replace(".", "\uff0e"), GOOD.replace("1", "\uff11"),
        quote(GOOD, safe="").replace(".", "%2e"), "https://evil.example/", "//evil.example", "", ".", "...",
    ],
)  # fmt: skip
def test_nothing_but_the_signed_spelling_leads_anywhere(token: str) -> None:
    for method in ("GET", "HEAD"):
        found = asked(f"/c/{token}", method=method)
        assert (found.response, found.hit, found.bad) == (NOT_FOUND, None, True)


HOSTILE = [
    "javascript:alert(1)", "JAVASCRIPT://shop.example/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd",
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example", "https:/evil.example", "https:///evil.example",
    "https://shop.example@evil.example", "https://a:b@evil.example", "https://@evil.example",
    "https://shop.example\\@evil.example", "https://shop.example\r\nSet-Cookie: a=b", "https://shop.example/\r\n\r\n<script>",
    "https://shop.example/\n", "https://shop.example/\0", "https://shop.example/\x7f", "https://shop.example/\x85",
    "https://shop.example/\u2028", "https://evil.example\uff0f.shop.example", "https://evil.example\u2100.shop.example",
    "https://a\u202eb.example", "https://[::1%25eth0]/", "https://2130706433/", "https://0x7f.1/", " https://shop.example",
    "\thttps://shop.example", "https://shop.example\t", "https://-/", "https://a..b/", "https://shop.example:99999/",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_no_key_makes_a_link_to_where_none_may_lead(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    link = LINK._replace(url=url)
    with pytest.raises(ValueError, match=r"address|host"):
        sign(link, "click", *signing_key(KEYS, "acme"))
    monkeypatch.setattr("pipeline.capture.tokens.checked", lambda unchecked: unchecked)
    found = asked(f"/c/{sign(link, 'click', *signing_key(KEYS, 'acme'))}")
    assert (found.response, found.hit, found.bad) == (NOT_FOUND, None, True)


SIGNED = {GOOD: URL, OTHER: "https://evil.example/", RETIRED: URL}
parts = st.sampled_from([part for token in SIGNED for part in token.split(".")] + ["", "1", "k1", "k2", "k3"])
noise = st.text(string.ascii_letters + string.digits + "-_.=/%\\:@?#\r\n\0 ", max_size=6)


@st.composite
def forged(draw: st.DrawFn) -> str:
    """Tokens torn apart and put together again, with a letter changed, added or gone."""
    token = ".".join(draw(st.lists(parts | noise, min_size=1, max_size=6)))
    at = draw(st.integers(0, len(token)))
    return token[:at] + draw(noise) + token[at + draw(st.integers(0, 2)) :]


@given(forged(), st.sampled_from(["/c/", "/o/", "/u/", "/", "//", "", "/c//", "/c/./", "/C/"]))
def test_a_forged_token_leads_nowhere(token: str, door: str) -> None:
    there = location(asked(door + token))
    assert there is None or (door == "/c/" and SIGNED.get(token) == there)


@given(st.text(max_size=200), st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "x"]), st.text(max_size=30))
def test_any_request_has_an_answer_and_it_is_well_formed(path: str, method: str, text: str) -> None:
    rules = Rules(KEYS, chosen=Chosen({"t.acme.example": "acme"}, frozenset(), frozenset()))
    found = asked(path, rules, method, useragent=text, referer=text, host=text)
    assert (found.hit, location(found)) == (None, None)
    assert 200 <= found.response.status < 500


@given(st.text(max_size=80), st.sampled_from(["", "https://", "https://shop.example", "https://shop.example/", "//"]))
def test_whatever_could_be_signed_is_one_header_line_to_one_host(text: str, start: str) -> None:
    try:
        token = sign(LINK._replace(url=start + text), "click", *signing_key(KEYS, "acme"))
    except ValueError:
        return
    there = location(asked(f"/c/{token}"))
    assert there is not None
    assert re.fullmatch(r"https?://[!-~]+", there, re.IGNORECASE)
    parts_ = urlsplit(there)
    assert (parts_.username, parts_.password) == (None, None)
    assert parts_.hostname


@pytest.mark.parametrize("kind", ["open", "unsubscribe"])
def test_a_token_of_another_kind_leads_nowhere_though_its_payload_would_fit(kind: Kind) -> None:
    head = f"{VERSION}.{KID}.{PAYLOAD}"
    mac = sign(LINK._replace(url=None), kind, *signing_key(KEYS, "acme")).rpartition(".")[2]
    assert location(asked(f"/c/{head}.{mac}")) is None
