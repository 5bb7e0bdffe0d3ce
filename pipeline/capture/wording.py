"""How HTTP/1.1 is spelled: what a request's bytes say, and an answer's head in bytes."""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from pipeline.capture.answer import Headers


def path_of(url: bytes) -> str:
    """Percent-decoded. Of `http://host/path`, which only proxies ask for, the path."""
    if not url.startswith((b"/", b"*")):
        try:
            url = httptools.parse_url(url).path or b"/"
        except httptools.HttpParserError:
            return ""
    path = url.partition(b"?")[0].decode("latin-1")
    return unquote(path) if "%" in path else path


def text_of(value: bytes | None) -> str | None:
    """A header's value; one that is not ASCII reads as absent."""
    return value.decode() if value and value.isascii() else None


@lru_cache(256)
def head_of(status: int, headers: Headers = (), size: int = 0) -> bytes:
    """An answer's head, but for its date and its end."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name.lower()}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in (*lines, f"content-length: {size}")).encode("latin-1")


@lru_cache(2)
def date_at(second: int) -> bytes:
    """The header that RFC 9110 6.6.1 wants, for a Unix second."""
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()
