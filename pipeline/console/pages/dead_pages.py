"""The dead letters of a loop: searched page by page, each in full; one, some or all redriven, or purged."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from pydantic import ValidationError
from starlette.responses import Response

from pipeline.console.console import Console, StoreAwayError
from pipeline.console.dead_calls import DeadCalls
from pipeline.console.forms import PurgeForm, RedriveForm
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.pages import moments, refused
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, to
from pipeline.console.problems import Problem, Wrong, sentence, wrongs
from pipeline.console.questions import DeadAsked
from pipeline.console.shown import DeadsShown

FILTERS = ("reason", "type", "recipient", "from", "to")
NONE = DeadsShown(dead=[], total=0, next_cursor=None)
LEFT = " {left:,} are left: press it again."


class DeadPages:
    """The pages about what was given up."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._loops = LoopCalls(console)
        self._calls = DeadCalls(console)
        self._door = door
        self._views = views

    async def every(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/dead`, with the filters and the cursor behind the question mark."""
        loop = await self._loops.one(visit.account, visit.loop)
        typed = {name: visit.query.get(name, "").strip() for name in FILTERS}
        found, wrong, status = NONE, None, 200
        try:
            asked = _filters(typed) | {"cursor": visit.query.get("cursor", "")}
            found = await self._calls.every(visit.account, loop.id, DeadAsked.model_validate(asked))
        except ValidationError as invalid:
            wrong, status = _told(wrongs(invalid.errors())), 422
        except Problem as problem:
            wrong, status = _told(problem.errors), problem.status_code
        except StoreAwayError:
            wrong, status = "The store of attempts does not answer now. Try again in a moment.", 503
        shown: dict[str, Any] = {
            "loop": loop,
            "found": found,
            "typed": typed,
            "wrong": wrong,
            "first": "cursor" not in visit.query,
            "given": {name: value for name, value in typed.items() if value},
            "address": lambda more: _address(loop.id, typed | more),
        }
        return self._views.page(visit, "dead.html", status, **shown)

    async def one(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/dead/{delivery}`."""
        loop = await self._loops.one(visit.account, visit.loop)
        try:
            letter = await self._calls.one(visit.account, loop.id, str(visit.request.path_params["delivery"]))
        except StoreAwayError as away:
            raise refused.no_store() from away
        content = msgspec.json.format(msgspec.json.encode(letter.content)).decode() if letter.content else None
        return self._views.page(visit, "dead_letter.html", loop=loop, letter=letter, content=content)

    async def redrive(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/dead/redrive`: the letters that were ticked, or all that fit."""
        await self._loops.one(visit.account, visit.loop)
        if (asked := _asked(visit)) is None:
            return self._nothing(visit)
        try:
            done = await self._calls.redrive(visit.account, visit.loop, RedriveForm.model_validate(asked))
        except (Problem, ValidationError, StoreAwayError) as problem:
            return self._refused(visit, problem)
        told = f"{_letters(done.redriven)} on the way again, one after the other."
        return self._back(visit, told + (LEFT.format(left=done.left) if done.left and done.redriven else ""))

    async def purge(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/dead/purge`: the same of those that are to be forgotten."""
        await self._loops.one(visit.account, visit.loop)
        if (asked := _asked(visit)) is None:
            return self._nothing(visit)
        every = {"all": True} if not asked else {}
        try:
            done = await self._calls.purge(visit.account, visit.loop, PurgeForm.model_validate(asked | every))
        except (Problem, ValidationError, StoreAwayError) as problem:
            return self._refused(visit, problem)
        return self._back(
            visit, f"{_letters(done.purged)} purged." + (LEFT.format(left=done.left) if done.left else "")
        )

    def _refused(self, visit: Visit, why: Problem | ValidationError | StoreAwayError) -> Response:
        if isinstance(why, StoreAwayError):
            raise refused.no_store() from why
        if isinstance(why, Problem) and why.kind not in {"unverified", "invalid"}:
            raise why
        detail = why.detail if isinstance(why, Problem) else sentence(wrongs(why.errors()))
        return self._back(visit, f"Nothing was done: {detail}.", "bad")

    def _nothing(self, visit: Visit) -> Response:
        return self._back(visit, "Nothing was done: tick the letters first.", "bad")

    def _back(self, visit: Visit, told: str, tone: str = "good") -> Response:
        typed = {name: visit.form.get(name, "") for name in FILTERS}
        flash = Flash(told, "bad") if tone == "bad" else Flash(told)
        return self._door.say(visit, to(_address(visit.loop, typed)), flash)


def _asked(visit: Visit) -> dict[str, Any] | None:
    """What the form asks for, as the API takes it; None where it asks for the ticked ones, and none is."""
    if visit.form.get("which") == "all":
        return {name: value for name, value in _filters(dict(visit.form)).items() if value}
    ticked = [str(one) for one in visit.form.getlist("delivery")]
    return {"deliveries": ticked} if ticked else None


def _filters(typed: dict[str, str]) -> dict[str, str]:
    known = {name: typed.get(name, "") for name in FILTERS}
    return known | {name: moments.asked(known[name]) for name in ("from", "to")}


def _letters(count: int) -> str:
    return "1 dead letter is" if count == 1 else f"{count:,} dead letters are"


def _told(wrong: Sequence[Wrong]) -> str:
    return f"{sentence([one._replace(where=one.where.removeprefix('query.').capitalize()) for one in wrong])}."


def _address(loop: str, asked: dict[str, str]) -> str:
    given = {name: value for name, value in asked.items() if value}
    return f"/loops/{loop}/dead" + (f"?{urlencode(given)}" if given else "")
