"""Whose mail a message from a mail server is about: the profile, the mailing, and where it is known the message.

First by a tracking link, which nobody can forge: the API checks its signature. Then by headers the sender gave the
mail, then by the address the message came to (VERP). The last two are taken on trust: whoever can write to the
address that reports go to can name any profile there.
"""

import re
from collections.abc import Iterator, Sequence
from email.message import Message
from email.utils import getaddresses
from typing import NamedTuple

from pipeline.model.ids import is_id

WORDS = ("profile", "mailing", "message")
ARRIVED = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Return-Path")

# The MAC is 22 letters, so a token that was cut is none.
_LINK = re.compile(r"/[ocu]/(1\.[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22})(?![A-Za-z0-9_-])", re.ASCII)
_SOFT_BREAK = re.compile(r"=\r?\n")


class Ways(NamedTuple):
    """How a mail is known beside its links: by headers with these names, and by a pattern of addresses."""

    headers: tuple[str, str, str] = ("X-Loopwire-Profile", "X-Loopwire-Mailing", "X-Loopwire-Message")
    address: re.Pattern[str] | None = None


def pattern(text: str) -> re.Pattern[str]:
    """`bounce+{mailing}+{profile}@shop.example` as a pattern; ValueError where a name is missing, or none of ours."""
    parts = re.split(r"\{(\w*)\}", text)
    names = parts[1::2]
    if not {"profile", "mailing"} <= set(names) <= set(WORDS) or len(set(names)) < len(names):
        raise ValueError("must hold {profile} and {mailing}, may hold {message}, and each once")
    expression = "".join(
        f"(?P<{part}>[A-Za-z0-9._:@+=-]{{1,128}}?)" if at % 2 else re.escape(part) for at, part in enumerate(parts)
    )
    return re.compile(expression, re.IGNORECASE | re.ASCII)


def known(messages: Sequence[Message], ways: Ways) -> dict[str, str] | None:
    """What names the mail in a line for `POST /v1/hits`. `messages`: the report, then what it sends back."""
    for message in reversed(messages):
        if link := _link(message):
            return {"link": link}
    for message in reversed(messages):
        if named := _named([header(message, name) for name in ways.headers]):
            return named
    if ways.address:
        for address in _addresses(messages):
            if found := ways.address.fullmatch(address):
                return _named([_plain_id(found.groupdict().get(word) or "") for word in WORDS])
    return None


def header(message: Message, name: str) -> str:
    """A header's value on one line; empty where there is none."""
    return " ".join(str(message.get(name, "")).split())


def payload(part: Message) -> bytes:
    """What a part holds, decoded."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _link(message: Message) -> str | None:
    for text in _texts(message):
        if found := _LINK.search(text):
            return found[1]
    return None


def _texts(message: Message) -> Iterator[str]:
    """The headers, where a folded line may cut an address in two, then each text in the message."""
    for value in message.get_all("List-Unsubscribe", []):
        yield re.sub(r"\s+", "", str(value))
    for part in message.walk():
        if part.get_content_maintype() == "text":
            text = payload(part).decode("latin-1")
            yield text
            yield _SOFT_BREAK.sub("", text)


def _addresses(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        for name in ARRIVED:
            values = [str(value) for value in message.get_all(name, [])]
            yield from (address for _, address in getaddresses(values))


def _named(words: list[str]) -> dict[str, str] | None:
    given = {word: value for word, value in zip(WORDS, words, strict=True) if value}
    if "profile" in given and "mailing" in given and all(map(is_id, given.values())):
        return given
    return None


def _plain_id(text: str) -> str:
    """As VERP writes an address inside of another: jane=mail.example."""
    return text.replace("=", "@")
