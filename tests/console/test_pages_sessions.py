"""The session's cookie: read by who signed it, until it is idle for 12 hours or 7 days old, and no letter changed."""

import base64

import pytest
from msgspec.structs import replace

from pipeline.console.pages import flash, sessions
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.sessions import Session

KEYS = sessions.keys_of(b"m" * 32)
NOW = 1_800_000_000
SESSION = Session(account="acme", user="jane", role="editor", issued=NOW, seen=NOW, credential="c" * 32, nonce="n" * 22)
HOUR, DAY = 3600, 86_400


def test_what_was_signed_is_read() -> None:
    assert sessions.opened(sessions.sealed(SESSION, KEYS), KEYS, NOW) == SESSION


@pytest.mark.parametrize(
    ("seen", "now", "is_open"),
    [
        (0, 12 * HOUR - 1, True),
        (0, 12 * HOUR, False),
        (6 * DAY, 6 * DAY + 12 * HOUR - 1, True),
        (7 * DAY - HOUR, 7 * DAY - 1, True),
        (7 * DAY - HOUR, 7 * DAY, False),
    ],
)
def test_it_is_over_when_idle_and_when_old(seen: int, now: int, is_open: bool) -> None:
    cookie = sessions.sealed(replace(SESSION, seen=NOW + seen), KEYS)
    assert (sessions.opened(cookie, KEYS, NOW + now) is not None) == is_open


def test_no_letter_may_change() -> None:
    cookie = sessions.sealed(SESSION, KEYS)
    for at in range(len(cookie)):
        other = "A" if cookie[at] != "A" else "B"
        assert sessions.opened(cookie[:at] + other + cookie[at + 1 :], KEYS, NOW) is None


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "é.é", "x" * 5000, base64.b64encode(b"{}").decode() + "."])
def test_anything_else_is_no_session(cookie: str | None) -> None:
    assert sessions.opened(cookie, KEYS, NOW) is None


def test_another_master_key_opens_nothing() -> None:
    cookie, others = sessions.sealed(SESSION, KEYS), sessions.keys_of(b"o" * 32)
    assert sessions.opened(cookie, others, NOW) is None
    assert not sessions.is_form_token(sessions.form_token("n", KEYS), "n", others)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert len({*KEYS, b"m" * 32}) == 4


def test_a_form_s_token_is_its_session_s() -> None:
    token = sessions.form_token(SESSION.nonce, KEYS)
    assert sessions.is_form_token(token, SESSION.nonce, KEYS)
    for given, nonce in ((token, "other"), ("", SESSION.nonce), (token[:-1], SESSION.nonce), ("é", SESSION.nonce)):
        assert not sessions.is_form_token(given, nonce, KEYS)


def test_what_is_said_once_is_for_one_session() -> None:
    said = Flash("made", "good", "lp_1", "whsec_x")
    cookie = flash.closed(said, "nonce", KEYS.flash, b"r" * 12)
    assert "whsec" not in cookie
    assert flash.opened(cookie, "nonce", KEYS.flash) == said
    assert flash.opened(cookie, "other", KEYS.flash) is None
    assert flash.opened("rubbish", "nonce", KEYS.flash) is None
