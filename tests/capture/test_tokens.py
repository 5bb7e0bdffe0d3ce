"""A token says what was signed, letter by letter, and nothing else is a token."""

import base64
import hmac
import re
import string

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.capture.tokens import (
    ACCOUNT_SYMBOLS,
    MAX_TOKEN,
    SYMBOLS,
    Kind,
    Link,
    account_key,
    read,
    sign,
    signing_key,
)
from pipeline.model.ids import ACCOUNT_ALPHABET, ALPHABET

NOW, RETIRED = b"n" * 32, b"r" * 32
KEYS = {"k2": NOW, "k1": RETIRED}
LINK = Link("acme", "p-1", "m.1")
CLICK = Link("acme", "p-1", "m.1", "msg@1", "https://shop.example/?a=1#b")
KINDS: tuple[Kind, ...] = ("open", "click", "unsubscribe")

accounts = st.text(ACCOUNT_ALPHABET, min_size=1, max_size=40)
ids = st.text(ALPHABET, min_size=1, max_size=128)
links = st.builds(Link, accounts, ids, ids, st.none() | ids, st.none())
paths = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), max_size=200)


def made(link: Link, kind: Kind = "open") -> str:
    return sign(link, kind, *signing_key(KEYS, link.account))


def raw(payload: bytes, kind: Kind = "open", account: str = "acme", kid: str = "k2") -> str:
    """A token rightly signed by `account` around any payload at all, written from the format's description."""
    head = f"1.{kid}.{text(payload)}"
    mac = hmac.digest(account_key(KEYS[kid], account), f"{kind}.{head}".encode(), "sha256")[:16]
    return f"{head}.{text(mac)}"


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(account: str, *names: str, end: bytes = b"") -> bytes:
    """The ids as the format describes them: the least significant digit first, 0 between."""
    total, unit = 0, 1
    digits = [(ACCOUNT_SYMBOLS.index(symbol) + 1, 38) for symbol in account] + [(0, 38)]
    for name in names:
        digits += [(SYMBOLS.index(symbol) + 1, 69) for symbol in name] + [(0, 69)]
    for digit, base in digits[:-1]:
        total += digit * unit
        unit *= base
    return end + total.to_bytes((total.bit_length() + 7) // 8, "big")


def test_the_alphabets_are_those_of_ids_whatever_their_order_is() -> None:
    assert set(SYMBOLS) == set(ALPHABET)
    assert len(SYMBOLS) == 68
    assert set(ACCOUNT_SYMBOLS) == set(ACCOUNT_ALPHABET)
    assert len(ACCOUNT_SYMBOLS) == 37


def test_tokens_of_mails_sent_long_ago_still_mean_the_same() -> None:
    """If this fails, links in mails that were sent are dead: it is the code that is wrong, not the test."""
    assert made(LINK) == "1.k2.GXVhb8j5iHn_.jtI-u8odMJmtjqQS5eRKIA"
    assert made(CLICK, "click") == (
        "1.k2.AA4CgC5D8SZZSxsUbsfMX2h0dHBzOi8vc2hvcC5leGFtcGxlLz9hPTEjYg.FUcFw7t1VtG-y-u0PYv6ZA"
    )
    assert made(LINK, "unsubscribe") == "1.k2.GXVhb8j5iHn_.7xT_2tsdIeKdQEq27K9dHw"


def test_the_account_key_is_hkdf_of_rfc_5869() -> None:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"loopwire token 1 acme").derive(NOW)
    assert account_key(NOW, "acme") == derived


@given(links)
def test_what_is_signed_is_read(link: Link) -> None:
    assert read(made(link), KEYS, "open") == link
    assert read(made(link, "unsubscribe"), KEYS, "unsubscribe") == link


@given(links, paths)
def test_a_click_keeps_its_destination_to_the_letter(link: Link, path: str) -> None:
    click = link._replace(url="https://shop.example/" + path)
    assert read(made(click, "click"), KEYS, "click") == click


@given(links)
def test_the_format_is_as_described(link: Link) -> None:
    names = [name for name in link[1:4] if name is not None]
    assert made(link) == raw(number(link.account, *names), account=link.account)


@pytest.mark.parametrize("symbol", string.ascii_lowercase + "0-")
def test_a_pixel_token_for_ids_of_16_characters_stays_under_80(symbol: str) -> None:
    link = Link(symbol * 16, "-" * 16, "-" * 16)
    assert len(made(link)) < 80
    assert read(made(link), KEYS, "open") == link


def test_the_longest_link_is_signed_and_read() -> None:
    url = "https://shop.example/" + "é" * ((4096 - 21) // 2)
    link = Link("-" * 40, "-" * 128, "-" * 128, "-" * 128, url)
    token = made(link, "click")
    assert len(token) <= MAX_TOKEN
    assert read(token, KEYS, "click") == link


def test_a_retired_key_still_verifies() -> None:
    token = sign(LINK, "open", "k1", account_key(RETIRED, "acme"))
    assert read(token, KEYS, "open") == LINK
    assert read(token, {"k2": NOW}, "open") is None


def test_the_first_key_signs() -> None:
    assert signing_key(KEYS, "acme") == ("k2", account_key(NOW, "acme"))


@pytest.mark.parametrize("signed", KINDS)
@pytest.mark.parametrize("asked", KINDS)
def test_a_token_is_good_for_its_own_kind_alone(signed: Kind, asked: Kind) -> None:
    link = CLICK if signed == "click" else LINK
    assert read(made(link, signed), KEYS, asked) == (link if signed == asked else None)


def test_a_kind_is_bound_even_where_the_payload_would_fit_both() -> None:
    opened = made(LINK)
    payload = base64.urlsafe_b64decode(opened.split(".")[2] + "==")
    assert read(raw(payload, "unsubscribe"), KEYS, "open") is None


def test_an_account_cannot_sign_for_another() -> None:
    assert read(sign(LINK, "open", "k2", account_key(NOW, "rival")), KEYS, "open") is None


def test_an_account_key_of_one_kid_is_none_of_another() -> None:
    assert read(sign(LINK, "open", "k2", account_key(RETIRED, "acme")), KEYS, "open") is None


@given(st.sampled_from([made(LINK), made(Link("a" * 16, "p" * 16, "m" * 16, "x" * 16))]), st.data())
def test_a_changed_bit_anywhere_is_refused(token: str, data: st.DataObject) -> None:
    letters = bytearray(token.encode())
    letters[data.draw(st.integers(0, len(letters) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    assert read(letters.decode(), KEYS, "open") is None


@given(st.text(string.ascii_letters + string.digits + "-_.=+/ %", max_size=120))
def test_noise_is_refused(noise: str) -> None:
    assume(noise != made(LINK))
    assert read(noise, KEYS, "open") is None
    assert read(f"1.k2.{noise}", KEYS, "open") is None


TOKEN = made(LINK)
VERSION, KID, PAYLOAD, MAC = TOKEN.split(".")


def other_spelling(part: str) -> str:
    """The same bytes with another last letter, where base64 leaves bits unused."""
    symbols = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return part[:-1] + symbols[symbols.index(part[-1]) ^ 1]


@pytest.mark.parametrize(
    "spelled",
    [
        "",
        ".",
        "...",
        TOKEN + "=",
        TOKEN + "==",
        TOKEN + " ",
        " " + TOKEN,
        TOKEN + "\n",
        TOKEN + "\0",
        TOKEN + ".",
        "." + TOKEN,
        TOKEN + ".gif",
        TOKEN.replace(".", "%2E", 1),
        "%31" + TOKEN[1:],
        TOKEN.replace(".", "..", 1),
        f"{VERSION}.{KID}.{PAYLOAD}==.{MAC}",
        f"{VERSION}.{KID}.{PAYLOAD}.{other_spelling(MAC)}",
        f"{VERSION}.{KID}.{PAYLOAD}.{MAC[:-1]}",
        f"{VERSION}.{KID}.{PAYLOAD}.{MAC.swapcase()}",
        f"{VERSION}.{KID}.{PAYLOAD.swapcase()}.{MAC}",
        f"{VERSION}.{KID}.{PAYLOAD[:4]}.{PAYLOAD[4:]}.{MAC}",
        f"{VERSION}.{KID}.{PAYLOAD}.",
        f"{VERSION}.{KID}..{MAC}",
        f"{VERSION}..{PAYLOAD}.{MAC}",
        f"{VERSION}.K2.{PAYLOAD}.{MAC}",
        f"{VERSION}.k3.{PAYLOAD}.{MAC}",
        f"0.{KID}.{PAYLOAD}.{MAC}",
        f"2.{KID}.{PAYLOAD}.{MAC}",
        f"01.{KID}.{PAYLOAD}.{MAC}",
        f"\u0661.{KID}.{PAYLOAD}.{MAC}",
        TOKEN.replace("j", "\u0458", 1),
        "1.k2." + "A" * MAX_TOKEN + "." + MAC,
    ],
)
def test_any_other_spelling_is_refused(spelled: str) -> None:
    assert spelled != TOKEN
    assert read(spelled, KEYS, "open") is None


def test_plus_and_slash_are_no_letters_of_base64url() -> None:
    tokens = [made(LINK._replace(profile=f"p{n}")) for n in range(50)]
    spelled = [token.replace("-", "+").replace("_", "/") for token in tokens]
    assert [read(other, KEYS, "open") for token, other in zip(tokens, spelled, strict=True) if token != other]
    assert not any(read(other, KEYS, "open") for token, other in zip(tokens, spelled, strict=True) if token != other)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "nothing"),
        (b"\0", "zero"),
        (number("acme", "p", "m", end=b"\0"), "a leading zero byte"),
        (number("acme"), "an account alone"),
        (number("acme", "p"), "a profile and no mailing"),
        (number("acme", "", "m"), "an empty profile"),
        (number("acme", "p", "", "x"), "an empty mailing"),
        (number("acme", "p", "m", "", "x"), "an empty message"),
        (number("acme", "p", "m", "x", "y"), "a fourth id"),
        (number("acme", "p" * 129, "m"), "a profile too long"),
        (number("acme", "p", "m" * 129), "a mailing too long"),
        (number("acme", "p", "m", "x" * 129), "a message too long"),
        (b"\xff" * 400, "a number too long"),
    ],
)
def test_ids_that_are_not_canonical_are_refused_although_rightly_signed(payload: bytes, why: str) -> None:
    assert read(raw(payload), KEYS, "open") is None, why


def test_an_account_that_is_empty_or_too_long_is_refused_although_rightly_signed() -> None:
    assert read(raw(number("", "p", "m"), account=""), KEYS, "open") is None
    assert read(raw(number("a" * 41, "p", "m"), account="a" * 41), KEYS, "open") is None


IDS = number("acme", "p", "m")
SIZED = len(IDS).to_bytes(2, "big") + IDS


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "nothing"),
        (b"\0", "half a length"),
        (b"\0\0https://a.example", "no ids"),
        (b"\0\x01" + IDS + b"https://a.example", "a length too short"),
        (b"\xff\xff" + IDS + b"https://a.example", "a length too long"),
        (SIZED, "no url"),
        (SIZED + b"https://a.example/\xff", "a url that is not UTF-8"),
        (SIZED + b"https://a.example/\xed\xa0\x80", "a surrogate in UTF-8"),
    ],
)
def test_a_click_that_is_not_canonical_is_refused_although_rightly_signed(payload: bytes, why: str) -> None:
    assert read(raw(payload, "click"), KEYS, "click") is None, why


@pytest.mark.parametrize(
    ("link", "kind", "message"),
    [
        (Link("Acme", "p", "m"), "open", "'Acme' is not an account: 1 to 40 of a-z 0-9 -"),
        (Link("", "p", "m"), "open", "'' is not an account: 1 to 40 of a-z 0-9 -"),
        (Link("a", "p/1", "m"), "open", "'p/1' is not a profile: 1 to 128 of A-Z a-z 0-9 . _ : @ + -"),
        (Link("a", "p", ""), "open", "'' is not a mailing: 1 to 128 of A-Z a-z 0-9 . _ : @ + -"),
        (Link("a", "p", "m", "x\n"), "open", "'x\\n' is not a message: 1 to 128 of A-Z a-z 0-9 . _ : @ + -"),
        (Link("a", "p", "m"), "click", "a click has a destination, other tokens have none"),
        (Link("a", "p", "m", None, "https://a.example"), "open", "a click has a destination, other tokens have none"),
        (Link("a", "p", "m", None, "javascript:x"), "click", "the address must begin with http:// or https://"),
    ],
)
def test_what_could_not_be_read_is_not_signed(link: Link, kind: Kind, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sign(link, kind, "k2", NOW)
