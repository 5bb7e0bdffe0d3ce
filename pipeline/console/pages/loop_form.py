"""A loop as a form of HTML: what was typed, as the API takes it, and what is wrong, field by field."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from pipeline.console.forms import not_batched
from pipeline.console.pages.visit import Form
from pipeline.console.problems import wrongs
from pipeline.console.shown import LoopShown

EVENTS: dict[str, dict[str, str]] = {
    "Readers": {
        "open": "A mail was opened",
        "click": "A link was clicked",
        "unsubscribe": "A reader wants no more mail",
    },
    "Delivery": {
        "delivery": "A mail server took the mail",
        "bounce": "It came back",
        "failure": "It was refused",
        "abuse": "A reader reported it as spam",
    },
    "Profiles": {
        "create": "A profile is new",
        "update": "A profile was changed",
        "delete": "A profile was erased",
    },
    "Your other loops": {
        "loop.failing": "A loop fails for a day",
        "loop.disabled": "A loop was disabled",
        "loop.ownership": "A verification file is gone",
        "loop.recovered": "A loop works again",
    },
}
NEEDED = {"name": "Give the loop a name", "url": "Write where the POSTs go", "events": "Choose at least one"}
Typed = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)
BATCH = ("batch_events", "batch_bytes", "batch_ms")
LISTS = ("mailings", "tags", "exclude_origins", "fields")


def typed(form: Form) -> Typed:
    """What was typed, to be shown again; without anything, a new loop's beginnings."""
    fresh = not form
    return {
        "name": form.get("name", ""),
        "url": form.get("url", ""),
        "events": form.getlist("events") if not fresh else ["open", "click"],
        "format": form.get("format", "form"),
        **{name: form.get(name, "") for name in LISTS},
        "machine": fresh or "machine" in form,
        "which_fields": form.get("which_fields", "all"),
        "which_headers": form.get("which_headers", "keep"),
        "headers": form.get("headers", ""),
        "rate": form.get("rate", ""),
        "max_in_flight": form.get("max_in_flight", ""),
        "ordered": "ordered" in form,
        **{name: form.get(name, "") for name in BATCH},
        "signatures": form.getlist("signatures"),
        "key_id": form.get("key_id", ""),
    }


def of_loop(loop: LoopShown) -> Typed:
    """A loop, to be changed. The values of its headers are never shown again."""
    return {name: "\n".join(words) for name, words in _lists(loop).items()} | {
        "name": loop.name,
        "url": loop.url,
        "events": loop.events,
        "format": loop.format,
        "machine": loop.filter.machine,
        "which_fields": "all" if loop.fields is None else "some",
        "which_headers": "keep",
        "headers": "",
        "rate": "" if loop.rate is None else f"{loop.rate:.10g}",
        "max_in_flight": "" if loop.max_in_flight is None else str(loop.max_in_flight),
        "ordered": loop.ordered,
        **{name: str(getattr(loop.batch, name.removeprefix("batch_"))) if loop.batch else "" for name in BATCH},
        "signatures": loop.signatures,
        "key_id": loop.key_id or "",
    }


def asked(given: Typed, before: LoopShown | None = None) -> dict[str, Any]:
    """What was typed, as the API takes it. A new loop's headers are always those that were typed.

    One without a name is called like its address's host. Words that a loop had `before` keep their commas.
    """
    new, had = before is None, _lists(before) if before else {}
    body = {
        "name": given["name"].strip() or (_host(given["url"]) if new else ""),
        "url": given["url"].strip(),
        "events": list(given["events"]),
        "format": given["format"],
        "filter": {name: words(given[name], had.get(name, ())) for name in LISTS[:3]} | {"machine": given["machine"]},
        "fields": None if given["which_fields"] == "all" else words(given["fields"], had.get("fields", ())),
        "rate": _number(given["rate"], float),
        "max_in_flight": _number(given["max_in_flight"], int),
        "ordered": given["ordered"],
        "batch": _batch(given),
        "signatures": list(given["signatures"]),
        "key_id": given["key_id"].strip() or None,
    }
    if new or given["which_headers"] != "keep":
        headers = "" if given["which_headers"] == "none" else given["headers"]
        body["headers"] = _headers(headers) or None
    return body


def checked(body: Mapping[str, Any], kind: type[Model]) -> tuple[Model | None, dict[str, str]]:
    """The API's form, or what is wrong in which field."""
    wrong = {name: told for name, told in NEEDED.items() if not body[name]}
    if "http" in body["signatures"] and body["key_id"] is None:
        wrong["key_id"] = "Write where the key is published"
    if body["batch"] is not None and (why := not_batched(body["format"], body["ordered"])):
        wrong["batch"] = f"{why[:1].upper()}{why[1:]}"
    if "url" in wrong:
        wrong.pop("name", None)  # it may follow from the address
    try:
        return (None if wrong else kind.model_validate(dict(body))), wrong
    except ValidationError as invalid:
        errors = invalid.errors()
    for error, told in zip(errors, wrongs(errors), strict=True):
        wrong.setdefault(_field(error["loc"]), f"{told.what[:1].upper()}{told.what[1:]}")
    return None, wrong


def filter_sentence(loop: LoopShown) -> str:
    """What a loop wants, in words."""
    parts = [f"mailing {_either(loop.filter.mailings)}"] if loop.filter.mailings else []
    parts += [f"tag {_either(loop.filter.tags)}"] if loop.filter.tags else []
    parts += [] if loop.filter.machine else ["people only, no machines"]
    parts += [f"not changed by {_either(loop.filter.exclude_origins)}"] if loop.filter.exclude_origins else []
    return "; ".join(parts) or "everything"


def _host(url: str) -> str:
    try:
        return urlsplit(url.strip()).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _field(place: Sequence[int | str]) -> str:
    if place[0] == "batch" and len(place) > 1:
        return f"batch_{place[1]}"
    return str(place[1] if place[0] == "filter" and len(place) > 1 else place[0])


def _batch(given: Typed) -> dict[str, Any] | None:
    """What was typed of it; none of it is no batch."""
    typed = {name.removeprefix("batch_"): _number(given[name], int) for name in BATCH}
    return {name: value for name, value in typed.items() if value is not None} or None


def _lists(loop: LoopShown) -> dict[str, list[str]]:
    return {name: getattr(loop.filter, name) for name in LISTS[:3]} | {"fields": loop.fields or []}


def words(text: str, had: Sequence[str] = ()) -> list[str]:
    """Words, divided by commas or line breaks; commas of those that it `had` before, each on its line, are theirs."""
    if text.strip() == ", ".join(had):  # as a field of one line shows them
        return list(had)
    lines = (line.strip() for line in text.split("\n"))
    return list(dict.fromkeys(word for line in lines for word in ([line] if line in had else _parted(line))))


def _parted(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in re.split(r"[,\n]", text) if word.strip()))


def _number(text: str, kind: type[int] | type[float]) -> int | float | str | None:
    try:
        return kind(text) if text.strip() else None
    except ValueError:
        return text  # the form says what is wrong with it


def _headers(text: str) -> dict[str, str]:
    """`Name: value`, one a line."""
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    return {name.strip(): value.strip() for name, _, value in lines}
