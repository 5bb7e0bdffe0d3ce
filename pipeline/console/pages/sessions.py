"""Who is signed in is written in a signed cookie: nothing is kept here, so any console can read it."""

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace

from pipeline.model.accounts import Role

IDLE_SECONDS = 12 * 3600
LONGEST_SECONDS = 7 * 24 * 3600
RENEWED_AFTER_SECONDS = 300  # not at every request: a page of ten images would be ten cookies
LONGEST_COOKIE = 2048
NONCE_BYTES = 16
PURPOSES = ("session", "form", "flash")


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sign-in. Times are Unix seconds; `credential` is the fingerprint of what was signed in with.

    `user` is None where that was the account's API key. An operator signed in by the admin key, and has no account.
    """

    account: str
    role: Role
    issued: int
    seen: int
    credential: str
    nonce: str
    user: str | None = None
    operator: bool = False


class SessionKeys(NamedTuple):
    """A key for each purpose, so that what was made for one is nothing for another."""

    session: bytes
    form: bytes
    flash: bytes


def keys_of(master: bytes) -> SessionKeys:
    """The keys, by HKDF-SHA256 (RFC 5869) of MASTER_KEY."""
    return SessionKeys(*(_derived(master, f"loopwire console {purpose} 1") for purpose in PURPOSES))


def sealed(session: Session, keys: SessionKeys) -> str:
    """The session as a cookie's value."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(session)).rstrip(b"=")
    return f"{body.decode()}.{_mac(keys.session, body)}"


def opened(cookie: str | None, keys: SessionKeys, now: float) -> Session | None:
    """The session of a cookie; None where it isn't ours, was altered, or is over."""
    if not cookie or len(cookie) > LONGEST_COOKIE or not cookie.isascii():
        return None
    body, _, mac = cookie.partition(".")
    if not hmac.compare_digest(_mac(keys.session, body.encode()), mac):
        return None
    try:
        session = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Session)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
        return None
    return session if now < min(session.seen + IDLE_SECONDS, session.issued + LONGEST_SECONDS) else None


def seen(session: Session, now: float) -> Session:
    """The session, seen now."""
    return replace(session, seen=int(now))


def is_stale(session: Session, now: float) -> bool:
    """Whether the cookie is to be written again, with now as when it was last seen."""
    return now >= session.seen + RENEWED_AFTER_SECONDS


def form_token(nonce: str, keys: SessionKeys) -> str:
    """What each form of a session carries, so that no other site can send one (CSRF)."""
    return _mac(keys.form, nonce.encode())


def is_form_token(given: str, nonce: str, keys: SessionKeys) -> bool:
    """Whether the token is this session's."""
    return hmac.compare_digest(form_token(nonce, keys).encode(), given.encode())


def nonce_of(random: bytes) -> str:
    """16 random bytes as a word."""
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def _derived(master: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(master)


def _mac(key: bytes, body: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, body, hashlib.sha256)).rstrip(b"=").decode()
