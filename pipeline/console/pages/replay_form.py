"""A replay as a form of HTML: what was typed, as the API takes it, and what is wrong, field by field."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pipeline.console.forms import ReplayForm
from pipeline.console.pages import moments
from pipeline.console.pages.loop_form import words
from pipeline.console.pages.visit import Form
from pipeline.console.problems import wrongs
from pipeline.console.shown import ReplayShown

Typed = dict[str, Any]
LISTS = ("mailings", "tags", "profiles")
USUAL = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def fresh(now: datetime) -> Typed:
    """A new one's beginnings: the last hour. The minute that runs is in it, for what was just sent."""
    times = {"from": moments.typed(now - USUAL), "to": moments.typed(now + MINUTE)}
    return times | {"types": [], "rate": ""} | dict.fromkeys(LISTS, "")


def typed(form: Form) -> Typed:
    """What was typed, to be shown again."""
    return {name: form.get(name, "") for name in ("from", "to", "rate", *LISTS)} | {"types": form.getlist("types")}


def of(replay: ReplayShown) -> Typed:
    """What a replay was asked for, to be asked for once more: its times exactly."""
    lists = {name: "\n".join(getattr(replay, name)) for name in LISTS}
    times = {"from": replay.since.isoformat(), "to": replay.until.isoformat()}
    return lists | times | {"types": replay.types, "rate": "" if replay.rate is None else f"{replay.rate:.10g}"}


def checked(
    given: Typed, *, dry_run: bool, counted: ReplayShown | None = None
) -> tuple[ReplayForm | None, dict[str, str]]:
    """The API's form, or what is wrong in which field; words of what was `counted` keep their commas."""
    body: dict[str, Any] = {name: moments.asked(given[name]) for name in ("from", "to")}
    body |= {name: words(given[name], getattr(counted, name, ())) for name in LISTS}
    body |= {"types": list(given["types"]), "rate": _rate(given["rate"]), "dry_run": dry_run}
    try:
        return ReplayForm.model_validate(body), {}
    except ValidationError as invalid:
        errors = invalid.errors()
    wrong: dict[str, str] = {}
    for error, told in zip(errors, wrongs(errors), strict=True):
        what = told.what.removeprefix("to: ")
        wrong.setdefault(_field(error["loc"]), f"{what[:1].upper()}{what[1:]}")
    return None, wrong


def _field(place: Sequence[int | str]) -> str:
    return str(place[0]) if place else "to"  # that they are in order is said of the whole


def _rate(text: str) -> float | str | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return text  # the form says what is wrong with it
