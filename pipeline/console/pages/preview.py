"""The POST that a loop would get, while it is still being typed: by the very code that makes deliveries."""

import json
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus, urlsplit

from pydantic import ValidationError

from pipeline import __version__
from pipeline.console import loops, trial
from pipeline.console.forms import LoopForm
from pipeline.console.seals import Seals
from pipeline.model.loops import Format

SOMEWHERE = "https://your-server.example/hooks/loopwire"
DEFAULTS: dict[str, Any] = {"name": "new loop", "url": SOMEWHERE, "events": ["open"]}
FORMATS: tuple[Format, ...] = ("form", "json")


class Shot(NamedTuple):
    """A POST in one format: its headers and, broken into lines, its body."""

    format: Format
    headers: list[tuple[str, str]]
    body: str


class Preview(NamedTuple):
    """What would be POSTed to host and path for one event."""

    event: str
    host: str
    path: str
    shots: list[Shot]


def preview(account: str, body: dict[str, Any], event: str, seals: Seals, now: datetime) -> Preview:
    """What is typed so far; what is missing or wrong in it is left to its default."""
    form = _lenient(body)
    chosen = event if event in form.events else form.events[0]
    form = form.model_copy(update={"events": [chosen]})
    parts = urlsplit(form.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shots = [_shot(account, form, kind, seals, now) for kind in FORMATS]
    return Preview(chosen, parts.netloc, path, shots)


def _shot(account: str, form: LoopForm, kind: Format, seals: Seals, now: datetime) -> Shot:
    fields = form.model_fields_set | {"format"}
    chosen = LoopForm.model_construct(
        fields, **(dict(form) | {"format": kind} | ({"batch": None} if kind == "form" else {}))
    )
    post = trial.post(loops.created(account, chosen, loops.identity(seals.random), seals, now), seals, now)
    own = dict.fromkeys(form.headers or (), "••••••")
    made = {"webhook-signature": "v1,… (by your secret)", "loopwire-loop": "lp_…"}
    headers = dict(post.headers) | {"User-Agent": f"loopwire/{__version__}"} | made | own
    return Shot(kind, list(headers.items()), _readable(post.body.decode(), kind))


def _readable(body: str, kind: Format) -> str:
    if kind == "json":
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return "\n&".join(unquote_plus(pair) for pair in body.split("&"))


def _lenient(body: dict[str, Any]) -> LoopForm:
    kept = {name: value for name, value in body.items() if value}
    try:
        return LoopForm.model_validate(DEFAULTS | kept)
    except ValidationError as wrong:
        bad = {str(error["loc"][0]) for error in wrong.errors()}
        return LoopForm.model_validate(DEFAULTS | {name: value for name, value in kept.items() if name not in bad})
