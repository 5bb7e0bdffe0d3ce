"""A destination is where a tracked link leads: an http(s) address that no browser can read in two ways."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote

import idna

# What browsers, proxies and mail clients all carry; with room for ids the token stays under 8 KiB.
MAX_BYTES = 4096

_SHAPE = re.compile(r"https?://([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f]")  # \s is Unicode's: NBSP, U+2028 and the like too
_AUTHORITY = re.compile(r"(\[[^\[\]%]*\]|[^:\[\]]*)(?::(\d{1,5}))?\Z", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
# A last label that begins so makes browsers read the host as an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"(\d+|0[xX][0-9A-Fa-f]*)\Z", re.ASCII)


@lru_cache(maxsize=4096)
def checked(url: str) -> str:
    """`url` itself, where a link may lead there; ValueError with one sentence where it may not.

    http or https (RFC 9110 4.2), a host (a name, IPv4 or [IPv6]), no user or password, no white space,
    control character or backslash, at most 4,096 bytes of UTF-8. Names may be international (RFC 5890).
    """
    _parts(url)
    return url


@lru_cache(maxsize=4096)
def location(url: str) -> str:
    """The same address in ASCII, for a Location header; ValueError where `checked` raises it.

    An ASCII address is unchanged. Else the host becomes its A-labels (UTS 46, as in browsers) and other
    characters their percent-encoded UTF-8 (RFC 3987 3.1).
    """
    authority, host, rest = _parts(url)
    if url.isascii():
        return url
    start, port = url[: url.index("//") + 2], authority[len(host) :]
    return start + _ascii_host(host) + port + "".join(map(_encoded, rest))


def _parts(url: str) -> tuple[str, str, str]:
    """Authority, host and what follows the authority."""
    _check_characters(url)
    shape = _SHAPE.match(url)
    if shape is None:
        raise ValueError("the address must begin with http:// or https://")
    authority, rest = shape.groups()
    if "@" in authority:
        raise ValueError("the address must not hold a user name or password")
    parts = _AUTHORITY.match(authority)
    if parts is None or not 0 < int(parts[2] or 80) < 65536:
        raise ValueError(f"the address has no valid host and port: {authority[:80]!r}")
    _check_host(parts[1])
    return authority, parts[1], rest


def _check_characters(url: str) -> None:
    try:
        size = len(url.encode())
    except UnicodeEncodeError as lone:
        raise ValueError("the address holds half of a character (a lone surrogate)") from lone
    if size > MAX_BYTES:
        raise ValueError(f"the address is longer than {MAX_BYTES} bytes")
    if bad := _FORBIDDEN.search(url):
        raise ValueError(f"the address must not hold {bad[0]!r}")


def _check_host(host: str) -> None:
    if not host:
        raise ValueError("the address has no host")
    if host.startswith("["):
        _check_literal(IPv6Address, host[1:-1])
        return
    name = _ascii_host(host).removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.match, labels)):  # RFC 1035 2.3.4, and _ which is used
        raise ValueError(f"{host[:80]!r} is not the name of a host")
    if _NUMBER.match(labels[-1]):
        _check_literal(IPv4Address, name)


def _check_literal(kind: type[IPv4Address] | type[IPv6Address], text: str) -> None:
    try:
        kind(text)
    except AddressValueError as wrong:
        raise ValueError(f"{text[:80]!r} is not an IP address") from wrong


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError as wrong:  # idna's own errors are of this kind
        raise ValueError(f"{host[:80]!r} is not the name of a host") from wrong


def _encoded(character: str) -> str:
    return character if character.isascii() else quote(character)
