"""A token says which mail a hit is about, and no one without the account's key can make one.

This is the format of version 1. Links in mails live for years: it never changes meaning; another format is
another version. Everything needed to sign in another language stands here.

    token   = version "." kid "." payload "." mac              1.k1.BAZ0...yQ.Jx3f...Aw
    version = "1"
    kid     = the key's name in TOKEN_KEYS, 1 to 16 of A-Z a-z 0-9 _ -
    payload = base64url(ids)                                   open, unsubscribe
            | base64url(length(ids) || ids || url)             click
    mac     = base64url(HMAC-SHA256(account key, kind "." version "." kid "." payload), the first 16 bytes)
    kind    = "open" | "click" | "unsubscribe": not in the token; a token of one kind fails as another

base64url is RFC 4648 5, without padding and canonical (the unused last bits are 0). `length` is two bytes,
big-endian; `url` is UTF-8. The MAC's input is the ASCII text of the token up to its last ".", as it is spelled.

    account key = HKDF-SHA256(key, salt = none, info = "loopwire token 1 " account, 32 bytes)      RFC 5869

where `key` is the 32 bytes behind the kid. So a sender who signs by himself holds his account's key
(`loopwire accounts key NAME`), and can sign for no other account.

`ids` is one whole number, big-endian, without leading zero bytes. Its digits, the least significant first,
are the symbols of account, profile, mailing and, where there is one, message, in this order. A symbol is its
place in the alphabet, from 1; 0 ends an id; the last id has no 0, the number just ends. The account's digits
and their 0 are to base 38, all later digits to base 69. In code, with `n = 0, unit = 1`:

    for each symbol s to base b:   n += s * unit;   unit *= b

An account has 1 to 40 characters, the others 1 to 128. A pixel token for ids of 16 characters and a kid of two
is 78 characters long.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.capture.destination import checked
from pipeline.mac import hmac_sha256
from pipeline.model.ids import is_account, is_id

Kind = Literal["open", "click", "unsubscribe"]

# The order of these characters is the format: never sort them, never insert one. A 70th needs version 2.
ACCOUNT_SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789-"
SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-"

VERSION = "1"
MAC_BYTES = 16
LENGTH_BYTES = 2
MAX_TOKEN = 8192  # characters: 4,096 bytes of destination, four ids at their longest, and room
MAX_ACCOUNT = 40
MAX_ID = 128
MAX_IDS_BYTES = 322  # an account of 40 and three ids of 128

_STANDARD = bytes.maketrans(b"-_+/", b"+/!!")  # "!" is no letter of either alphabet
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = {0: _LETTERS, 2: _LETTERS[::16], 3: _LETTERS[::4]}  # by length: the bits of it that are unused are 0
_PADDING = {0: b"", 2: b"==", 3: b"="}
_ACCOUNT_BASE = len(ACCOUNT_SYMBOLS) + 1
_BASE = len(SYMBOLS) + 1
_DIGIT = {symbol: at for at, symbol in enumerate(SYMBOLS, 1)}
_ACCOUNT_DIGIT = {symbol: at for at, symbol in enumerate(ACCOUNT_SYMBOLS, 1)}

# Reading goes two and four digits at a time: a division of the long number is what costs.
_PAIRS = [low + high for high in "\0" + SYMBOLS for low in "\0" + SYMBOLS]
_ACCOUNT_PAIRS = [low + high for high in "\0" + ACCOUNT_SYMBOLS for low in "\0" + ACCOUNT_SYMBOLS]
_PAIR, _ACCOUNT_PAIR = len(_PAIRS), len(_ACCOUNT_PAIRS)
_FOUR = _PAIR * _PAIR  # below 2**30, which is one digit of Python's numbers


class Link(NamedTuple):
    """What a token says. A `url` has a click alone."""

    account: str
    profile: str
    mailing: str
    message: str | None = None
    url: str | None = None


@lru_cache(maxsize=10_000)
def account_key(master: bytes, account: str) -> bytes:
    """The account's own key, 32 bytes, from the 32 bytes of one of TOKEN_KEYS."""
    info = b"loopwire token 1 " + account.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master)


def signing_key(keys: Mapping[str, bytes], account: str) -> tuple[str, bytes]:
    """The kid that signs now, and the account's key under it: the last two arguments of `sign`."""
    kid, master = next(iter(keys.items()))
    return kid, account_key(master, account)


def sign(link: Link, kind: Kind, kid: str, key: bytes) -> str:
    """The token for `link`; `key` is the account's own. ValueError where an id or the url can't be used."""
    _check(link, kind)
    ids = _packed(link)
    if link.url is not None:
        ids = len(ids).to_bytes(LENGTH_BYTES, "big") + ids + link.url.encode()
    head = f"{VERSION}.{kid}.{_text(ids)}"
    return f"{head}.{_mac(key, kind, head)}"


def read(token: str, keys: Mapping[str, bytes], kind: Kind) -> Link | None:
    """What the token says; None unless it is, letter by letter, what `sign` makes under one of `keys`."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    head, _, mac = token.rpartition(".")
    version, _, rest = head.partition(".")
    kid, _, payload = rest.partition(".")
    master = keys.get(kid)
    if version != VERSION or master is None:
        return None
    link = _unpacked(payload, kind)
    if link is None:
        return None
    expected = _mac(account_key(master, link.account), kind, head)
    return link if hmac.compare_digest(expected, mac) else None


def _check(link: Link, kind: Kind) -> None:
    if not is_account(link.account):
        raise ValueError(f"{link.account[:80]!r} is not an account: 1 to 40 of a-z 0-9 -")
    for word, name in (("profile", link.profile), ("mailing", link.mailing), ("message", link.message)):
        if name is not None and not is_id(name):
            raise ValueError(f"{name[:80]!r} is not a {word}: 1 to 128 of A-Z a-z 0-9 . _ : @ + -")
    if (link.url is not None) != (kind == "click"):
        raise ValueError("a click has a destination, other tokens have none")
    if link.url is not None:
        checked(link.url)


def _packed(link: Link) -> bytes:
    number = 0
    names = (link.profile, link.mailing) if link.message is None else link[1:4]
    for name in reversed(names):
        number *= _BASE  # the 0 that ends this id; below the last one it leaves 0 as it is
        for symbol in reversed(name):
            number = number * _BASE + _DIGIT[symbol]
    number *= _ACCOUNT_BASE
    for symbol in reversed(link.account):
        number = number * _ACCOUNT_BASE + _ACCOUNT_DIGIT[symbol]
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _unpacked(payload: str, kind: Kind) -> Link | None:
    data = _bytes(payload)
    if kind != "click":
        return _ids(data)
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
    link = _ids(data[LENGTH_BYTES:end])
    try:
        url = data[end:].decode()
    except UnicodeDecodeError:
        return None
    return link._replace(url=url) if link and url else None


def _ids(data: bytes) -> Link | None:
    if not data or data[0] == 0 or len(data) > MAX_IDS_BYTES:
        return None
    account, number = _account(int.from_bytes(data, "big"))
    names = _names(number)
    if not 1 <= len(account) <= MAX_ACCOUNT or len(names) not in (2, 3):
        return None
    sizes = [*map(len, names)]
    return Link(account, *names) if min(sizes) >= 1 and max(sizes) <= MAX_ID else None


def _account(number: int) -> tuple[str, int]:
    """The first id, and the number that is left."""
    name = ""
    while number:
        left, at = divmod(number, _ACCOUNT_PAIR)
        pair = _ACCOUNT_PAIRS[at]
        if pair[0] == "\0":
            return name, number // _ACCOUNT_BASE
        if pair[1] == "\0":
            return name + pair[0], left
        name, number = name + pair, left
    return name, number


def _names(number: int) -> list[str]:
    pairs: list[str] = []
    add = pairs.append
    while number:
        four = number % _FOUR  # a division of its own: divmod costs more than both
        number //= _FOUR
        add(_PAIRS[four % _PAIR])
        add(_PAIRS[four // _PAIR])
    return "".join(pairs).rstrip("\0").split("\0")  # the highest digit is never 0: only padding goes


def _mac(key: bytes, kind: Kind, head: str) -> str:
    return _text(hmac_sha256(key, f"{kind}.{head}".encode())[:MAC_BYTES])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes that `text` spells; none where another text is their canonical spelling."""
    over = len(text) % 4
    if not text or over == 1 or text[-1] not in _LAST[over]:
        return b""
    try:
        return binascii.a2b_base64(text.encode().translate(_STANDARD) + _PADDING[over], strict_mode=True)
    except binascii.Error:
        return b""
