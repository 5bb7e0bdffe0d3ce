"""What capture answers to a request, and the hit that must be safe before it does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pipeline.capture.choices import NOTHING, Chosen
from pipeline.capture.destination import location
from pipeline.capture.privacy import Privacy, ip_of
from pipeline.capture.tokens import Kind, Link, read
from pipeline.model.hits import AnyHit, Click, Open, Unsubscribe
from pipeline.model.ids import uuid7

Headers = tuple[tuple[str, str], ...]
Asked = Literal["open", "click", "unsubscribe", "page", "other"]

MAX_USERAGENT = 1024
MAX_REFERER = 2048

READS = ("GET", "HEAD")

# GIF89a, one pixel, transparent: 43 bytes.
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
_NEVER = "no-store, no-cache, must-revalidate, max-age=0"
_UNSEEN = (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"), ("X-Robots-Tag", "noindex"))
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_HTML = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
    *_UNSEEN,
)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Unsubscribe</title>
<style>body{{font:1.1em sans-serif;margin:20vh auto;max-width:26em;text-align:center}}button{{font:inherit}}</style>
{0}
</html>
"""
_BUTTON = """<p>Do you want no more mail of this kind?</p>
<form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>"""
_DONE = "<p>You are unsubscribed.</p>"


class Request(NamedTuple):
    """What of a request matters: `peer` is the other end's IP, `forwarded` the values of X-Forwarded-For."""

    method: str
    path: str
    peer: str
    at: datetime
    useragent: str | None = None
    referer: str | None = None
    forwarded: tuple[str, ...] = ()
    host: str = ""  # the header, where accounts have domains of their own
    gpc: bool = False
    dnt: bool = False


class Response(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class Answer(NamedTuple):
    """The response, to be sent once the hit is safe where there is one; `bad`: the token was refused."""

    asked: Asked
    response: Response
    hit: AnyHit | None = None
    bad: bool = False


class Rules(NamedTuple):
    """What an installation decides: its TOKEN_KEYS, and what is kept of people; and what its accounts chose."""

    keys: Mapping[str, bytes]
    privacy: Privacy = Privacy()
    chosen: Chosen = NOTHING


PIXEL = Response(200, (("Content-Type", "image/gif"), ("Cache-Control", _NEVER)), GIF)
NOT_FOUND = Response(404, (_TEXT, *_UNSEEN), b"not found\n")
ROBOTS = Response(200, (_TEXT,), b"User-agent: *\nDisallow: /\n")
PAGE = Response(200, _HTML, _PAGE.format(_BUTTON).encode())
DONE = Response(200, _HTML, _PAGE.format(_DONE).encode())


def answer(request: Request, rules: Rules, random: bytes) -> Answer:
    """Contract 3, but for /live, /ready and /metrics, which no request alone can tell. Raises nothing.

    `random` is 10 bytes: with the time they make the hit's id.
    """
    door, _, rest = request.path.removeprefix("/").partition("/")
    reads = request.method in READS
    match door:
        case "o":
            return _open(rest, request, rules, random) if reads else _refused("open", *READS)
        case "c":
            return _click(rest, request, rules, random) if reads else _refused("click", *READS)
        case "u" if request.method == "POST":
            return _unsubscribe(rest, request, rules, random)
        case "u":
            return _page(rest, request, rules) if reads else _refused("page", *READS, "POST")
        case "robots.txt" if not rest:
            return Answer("other", ROBOTS) if reads else _refused("other", *READS)
    return Answer("other", NOT_FOUND)


def _open(rest: str, request: Request, rules: Rules, random: bytes) -> Answer:
    link = _read(rest.removesuffix(".gif"), request, rules, "open")
    if link is None:
        return Answer("open", PIXEL, bad=True)
    if rules.chosen.is_unregistered(link.account, link.mailing):
        return Answer("open", PIXEL)
    return Answer("open", PIXEL, Open(**_seen(link, request, rules, random)))


def _click(rest: str, request: Request, rules: Rules, random: bytes) -> Answer:
    link = _read(rest, request, rules, "click")
    if link is None or link.url is None:
        return Answer("click", NOT_FOUND, bad=True)
    try:
        there = location(link.url)
    except ValueError:  # signed by who holds the key, and still no place to send a reader
        return Answer("click", NOT_FOUND, bad=True)
    response = Response(302, (("Location", there), *_UNSEEN))
    if rules.chosen.is_unregistered(link.account, link.mailing):
        return Answer("click", response)
    return Answer("click", response, Click(url=link.url, **_seen(link, request, rules, random)))


def _unsubscribe(rest: str, request: Request, rules: Rules, random: bytes) -> Answer:
    """A hit whatever the account chose: who wants no more mail must be heard."""
    link = _read(rest, request, rules, "unsubscribe")
    if link is None:
        return Answer("unsubscribe", NOT_FOUND, bad=True)
    return Answer("unsubscribe", DONE, Unsubscribe(**_seen(link, request, rules, random)))


def _page(rest: str, request: Request, rules: Rules) -> Answer:
    """Scanners follow every link of a mail, so a GET changes nothing (RFC 8058 3.2)."""
    link = _read(rest, request, rules, "unsubscribe")
    return Answer("page", NOT_FOUND, bad=True) if link is None else Answer("page", PAGE)


def _read(token: str, request: Request, rules: Rules, kind: Kind) -> Link | None:
    """What the token says; nothing where it is another account's than the domain is."""
    link = read(token, rules.keys, kind)
    return None if link is None or rules.chosen.is_foreign(request.host, link.account) else link


def _refused(asked: Asked, *allowed: str) -> Answer:
    """RFC 9110 15.5.6."""
    headers = (("Allow", ", ".join(allowed)), *NOT_FOUND.headers)
    return Answer(asked, Response(405, headers, b"method not allowed\n"))


def _seen(link: Link, request: Request, rules: Rules, random: bytes) -> dict[str, Any]:
    """The fields that all hits have."""
    asks = request.gpc or request.dnt
    hidden = asks and rules.chosen.obeys(link.account)
    return {
        "id": uuid7(request.at, random),
        "account": link.account,
        "profile": link.profile,
        "mailing": link.mailing,
        "message": link.message,
        "at": request.at,
        "ip": None if hidden else ip_of(request.peer, request.forwarded, rules.privacy),
        "useragent": None if hidden else _bounded(request.useragent, MAX_USERAGENT),
        "referer": _bounded(request.referer, MAX_REFERER),
        "method": request.method,
        **(_signals(request) if asks else {}),
    }


def _signals(request: Request) -> dict[str, bool]:
    return {name: True for name, sent in (("gpc", request.gpc), ("dnt", request.dnt)) if sent}


def _bounded(text: str | None, most: int) -> str | None:
    """At most `most` characters, fit for UTF-8; None for nothing."""
    if not text:
        return None
    return text[:most] if text.isascii() else text[:most].encode(errors="replace").decode()
