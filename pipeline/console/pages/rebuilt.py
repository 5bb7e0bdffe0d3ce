"""The request of an attempt, made by the code that made it: from its event, and the loop's present settings."""

import json
from typing import NamedTuple
from urllib.parse import unquote_plus, urlsplit

import msgspec

from pipeline import __version__
from pipeline.console.again import delivery
from pipeline.console.seals import Seals
from pipeline.console.shown import AttemptShown
from pipeline.deliver.stage import Post, signed
from pipeline.model.events import Event
from pipeline.model.loops import Loop
from pipeline.model.sealed import SealBrokenError

HIDDEN = "••••••"
_event = msgspec.json.Decoder(Event)


class Request(NamedTuple):
    """`body` is broken into lines, to be read; values of the loop's own headers are hidden."""

    host: str
    path: str
    headers: list[tuple[str, str]]
    body: str


def rebuilt(attempt: AttemptShown, loop: Loop, event: bytes, seals: Seals) -> Request | None:
    """The request; None where the event, or what is sealed, can't be read."""
    made = delivery(attempt, loop, event, attempt.replay)
    made = msgspec.structs.replace(made, attempts=attempt.attempt - 1)
    try:
        post = signed(made, [_event.decode(event)], loop, attempt.at.timestamp(), seals.open)
    except (SealBrokenError, msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return None
    parts = urlsplit(attempt.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Request(
        parts.netloc, path, _headers(post), readable(post.body.decode(), "json" if loop.batching else loop.format)
    )


def readable(body: str, kind: str) -> str:
    """A body with a line for each name."""
    if kind == "json":
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return "\n&".join(unquote_plus(pair) for pair in body.split("&"))


def _headers(post: Post) -> list[tuple[str, str]]:
    own = dict.fromkeys(post.loop.header_names, HIDDEN)
    sent = {name: value for name, value in post.headers if name != "Host"}  # which stands above them
    return list((sent | {"User-Agent": f"loopwire/{__version__}"} | own).items())
