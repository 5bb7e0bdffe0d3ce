"""What was sent to a loop: searched page by page, each attempt in full, and sent again."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.responses import Response

from pipeline.console.attempt_calls import AttemptCalls
from pipeline.console.console import Console, NotReadError, StillLookedForError, StoreAwayError
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.pages import moments, refused
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.rebuilt import Request, rebuilt
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, to
from pipeline.console.pages.waterfall import phases
from pipeline.console.problems import Problem, Wrong, sentence, wrongs
from pipeline.console.questions import AttemptsAsked
from pipeline.console.shown import AttemptShown, AttemptsShown

FILTERS = ("state", "type", "recipient", "from", "to", "delivery", "message", "event", "profile")
STATES = {"delivered": "Delivered", "failed": "Failed", "retrying": "Retrying", "dead": "Dead"}
SEARCH_SECONDS = 1.0  # that a page waits for an event; it is shown without, and asks again
NONE = AttemptsShown(attempts=[], next_cursor=None)


class AttemptPages:
    """The pages about what was sent."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._picture = console.directory.picture
        self._seals = console.seals
        self._loops = LoopCalls(console)
        self._calls = AttemptCalls(console)
        self._door = door
        self._views = views

    async def every(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/attempts`, with the filters and the cursor behind the question mark."""
        loop = await self._loops.one(visit.account, visit.loop)
        typed = {name: visit.query.get(name, "").strip() for name in FILTERS}
        found, wrong, status = NONE, None, 200
        try:
            found = await self._calls.attempts(visit.account, loop.id, _asked(visit, typed))
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
            "states": STATES,
            "first": "cursor" not in visit.query,
            "given": {name: value for name, value in typed.items() if value},
            "address": lambda more: _address(loop.id, typed | more),
        }
        return self._views.page(visit, "attempts.html", status, **shown)

    async def one(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/attempts/{attempt}`."""
        loop = await self._loops.one(visit.account, visit.loop)
        try:
            attempt = await self._calls.one(visit.account, loop.id, _attempt(visit))
            same = AttemptsAsked.model_validate({"delivery": attempt.delivery, "limit": 100})
            others = await self._calls.attempts(visit.account, loop.id, same)
        except StoreAwayError as away:
            raise refused.no_store() from away
        request, why = await self._request(visit, attempt)
        shown: dict[str, Any] = {
            "loop": loop,
            "attempt": attempt,
            "request": request,
            "why": why,
            "others": others.attempts,
            "phases": phases(attempt.timings, answered=attempt.status is not None),
        }
        return self._views.page(visit, "attempt.html", **shown)

    async def again(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/attempts/{attempt}/again`."""
        asked = _attempt(visit)
        try:
            sent = await self._calls.again(visit.account, visit.loop, asked)
        except StoreAwayError as away:
            raise refused.no_store() from away
        except Problem as problem:
            if problem.kind not in {"a-batch", "gone", "unverified", "unavailable"}:
                raise
            detail = problem.detail.removeprefix("nothing was sent, since ")
            told = Flash(f"Nothing was sent: {detail}.", "bad")
            return self._door.say(visit, to(f"/loops/{visit.loop}/attempts/{asked}"), told)
        told = Flash("It is on its way again, under the same id. Its new attempt is listed here once it was made.")
        return self._door.say(visit, to(_address(visit.loop, {"delivery": sent.delivery})), told)

    async def _request(self, visit: Visit, attempt: AttemptShown) -> tuple[Request | None, str]:
        """The request, or none and why: `looking` while it is looked for, or a sentence."""
        if attempt.batch:
            return None, "The request was a JSON array of the events below. A replay of their time sends them again."
        loop = self._picture.loop(visit.account, visit.loop)
        try:
            event = await self._calls.event(visit.account, attempt, SEARCH_SECONDS)
        except StillLookedForError:
            return None, "looking"
        except NotReadError as failed:
            return None, f"The event was not read: {failed}. Load the page again later."
        request = None if loop is None or event is None else rebuilt(attempt, loop, event, self._seals)
        return request, "" if request else "The event is no longer kept, so the request can't be shown, nor sent again."


def _asked(visit: Visit, typed: dict[str, str]) -> AttemptsAsked:
    """What is typed, as the API takes it; ValidationError where something is wrong with it."""
    times = {name: moments.asked(typed[name]) for name in ("from", "to")}
    return AttemptsAsked.model_validate(typed | times | {"cursor": visit.query.get("cursor", "")})


def _attempt(visit: Visit) -> str:
    return str(visit.request.path_params["attempt"])


def _told(wrong: Sequence[Wrong]) -> str:
    told = sentence([one._replace(where=one.where.removeprefix("query.").capitalize()) for one in wrong])
    return f"{told}."


def _address(loop: str, asked: dict[str, str]) -> str:
    given = {name: value for name, value in asked.items() if value}
    return f"/loops/{loop}/attempts" + (f"?{urlencode(given)}" if given else "")
