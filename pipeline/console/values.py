"""What people type, checked value by value: a ValueError is the rest of a sentence that begins with the name."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pipeline.capture.destination import location
from pipeline.guard import port_refusal
from pipeline.model.ids import EPOCH

URL_LIMIT = 2048
HEADERS_LIMIT = 8192
DEPTH_LIMIT = 16

# RFC 3986 section 2: anything else, a backslash or a space say, is read differently by different readers.
_URL = re.compile(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
# A name, or an IPv4 address; the underscore is no host name's, but DNS and containers have it.
_HOST = re.compile(r"(?=.{1,253}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_-]{1,63}\.?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 section 5.6.2
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")

# The request's own, those of the connection (RFC 9110 section 7.6.1), and ours.
_OURS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_OUR_PREFIXES = ("webhook-", "loopwire-")


def loop_url(text: str) -> str:
    """The address of a loop, as it was typed."""
    if len(text) > URL_LIMIT:
        raise ValueError(f"is longer than {URL_LIMIT} characters")
    if not _URL.fullmatch(text):
        raise ValueError("has a character that no URL may have (a host in punycode, the rest percent-encoded)")
    parts = _parts(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("has credentials in it: use headers for them")
    if "#" in text:
        raise ValueError("has a fragment, which no server would get")
    if refused := port_refusal(_port(parts)):
        raise ValueError(f"has {refused}: 80, 443 and those above 1023 may be called")
    return text


def _parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError as wrong:
        raise ValueError("is not a URL") from wrong
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must begin with https:// or http://")
    if not _is_host(host):
        raise ValueError("has no host that can be called")
    return parts


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError as wrong:
        raise ValueError("has a port that is none") from wrong
    return (443 if parts.scheme == "https" else 80) if port is None else port


def tracking_base(text: str) -> str:
    """A domain for tracking links, as their base: `t.shop.example` is `https://t.shop.example`."""
    base = text.strip().rstrip("/")
    base = base if "://" in base else f"https://{base}"
    try:
        ascii_base = location(base)
    except ValueError as wrong:
        raise ValueError(f"{text[:100]!r} can't be a domain of links: {wrong}") from wrong
    scheme, _, authority = ascii_base.partition("://")
    if any(character in authority for character in "/?#"):
        raise ValueError(f"{text[:100]!r} has more than a host and a port")
    return f"{scheme.lower()}://{authority.lower()}"


def custom_headers(headers: dict[str, str]) -> dict[str, str]:
    """A loop's own headers. No value is ever repeated in a message: it may be a password."""
    for name, value in headers.items():
        if wrong := _header_wrong(name, value):
            raise ValueError(f"{name[:100]!r} {wrong}")
    names = [name.lower() for name in headers]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} is there twice")
    if sum(len(name) + len(value) for name, value in headers.items()) > HEADERS_LIMIT:
        raise ValueError(f"are larger than {HEADERS_LIMIT} bytes")
    return headers


def _header_wrong(name: str, value: str) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is not a header's name"
    if name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES):
        return "is a header that we set"
    if not _HEADER_VALUE.fullmatch(value):
        return "has a value that no header may have (printable ASCII, no line break)"
    return None


def moment(given: object) -> datetime:
    """A point in time as RFC 3339 writes it."""
    if not isinstance(given, str):
        raise ValueError("must be a time such as 2026-03-20T09:00:00Z")  # noqa: TRY004 (pydantic asks for it)
    try:
        time = datetime.fromisoformat(given)
    except ValueError as wrong:
        raise ValueError("must be a time such as 2026-03-20T09:00:00Z") from wrong
    if time.tzinfo is None:
        raise ValueError("must say its zone, as 2026-03-20T09:00:00Z or +01:00 does")
    try:
        in_utc = time.astimezone(UTC)
    except OverflowError as wrong:
        raise ValueError("is outside of all time") from wrong
    if in_utc < EPOCH:  # Kafka's times begin there, and it takes negative ones for "the end" or refuses them
        raise ValueError("must not be before 1970")
    return in_utc


def email(text: str) -> str:
    """A recipient's address, as plausible as can be told without a mail server (RFC 5321: 64 + @ + 255)."""
    local, at, domain = text.partition("@")
    if not at or not local or not domain or "@" in domain:
        raise ValueError("must be an e-mail address with one @")
    if not text.isprintable() or any(character.isspace() for character in text):
        raise ValueError("must be an e-mail address without spaces or control characters")
    if len(text) > 320:
        raise ValueError("must be an e-mail address of 320 characters at most")
    return text


def label(text: str) -> str:
    """A name that people read."""
    if not text.strip() or not text.isprintable():
        raise ValueError("must have a character that can be seen, and none that can't be printed")
    return text


def shallow(value: dict[str, Any]) -> dict[str, Any]:
    """An object that every reader of JSON can take."""
    if _deeper(value, DEPTH_LIMIT):
        raise ValueError(f"is nested more than {DEPTH_LIMIT} deep")
    return value


def _deeper(value: object, limit: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return limit == 0 or any(_deeper(one, limit - 1) for one in inside)


def distinct(values: Sequence[str]) -> list[str]:
    """A list in which nothing is there twice."""
    if twice := next((value for at, value in enumerate(values) if value in values[:at]), None):
        raise ValueError(f"has {twice} twice")
    return list(values)
