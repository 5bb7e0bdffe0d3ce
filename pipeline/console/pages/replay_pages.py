"""Replays by hand: counted first, then sent, followed, cancelled."""

from starlette.responses import Response

from pipeline.console.console import Console
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.pages import refused, replay_form
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.replay_form import Typed
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, to
from pipeline.console.problems import Problem
from pipeline.console.replay_calls import ReplayCalls
from pipeline.console.shown import ReplayShown


class ReplayPages:
    """The pages about replays."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._effects = console.effects
        self._loops = LoopCalls(console)
        self._calls = ReplayCalls(console)
        self._door = door
        self._views = views

    async def every(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/replays`."""
        return await self._form(visit, replay_form.fresh(self._effects.now()), {})

    async def create(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/replays`: counts, or sends where `do` says so; of what was `counted` the same."""
        counted = await self._known(visit, visit.form["counted"]) if "counted" in visit.form else None
        typed = replay_form.of(counted) if counted else replay_form.typed(visit.form)
        form, wrong = replay_form.checked(typed, dry_run=visit.form.get("do") != "send", counted=counted)
        if form is None:
            return await self._form(visit, typed, wrong)
        try:
            made = await self._calls.create(visit.account, visit.loop, form)
        except Problem as problem:
            if problem.kind not in {"unverified", "busy", "invalid"}:
                raise
            return await self._form(visit, typed, {"": f"{problem.detail[:1].upper()}{problem.detail[1:]}"})
        told = None if made.dry_run else Flash("It is on its way; what happens now goes first.")
        there = to(f"/loops/{visit.loop}/replays/{made.id}")
        return there if told is None else self._door.say(visit, there, told)

    async def one(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/replays/{replay}`."""
        return await self._one(visit, "replay.html")

    async def progress(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/replays/{replay}/progress`: the part of the page that changes, for a script."""
        return await self._one(visit, "_progress.html")

    async def cancel(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/replays/{replay}/cancel`."""
        known = await self._known(visit, visit.request.path_params["replay"])
        await self._calls.cancel(visit.account, known.id)
        told = Flash("It is cancelled. What was on its way by then still arrives.")
        return self._door.say(visit, to(f"/loops/{visit.loop}/replays/{known.id}"), told)

    async def _one(self, visit: Visit, template: str) -> Response:
        loop = await self._loops.one(visit.account, visit.loop)
        replay = await self._known(visit, visit.request.path_params["replay"])
        return self._views.page(visit, template, loop=loop, replay=replay)

    async def _known(self, visit: Visit, replay: str) -> ReplayShown:
        found = await self._calls.one(visit.account, replay)
        if found.loop != visit.loop:
            raise refused.missing()
        return found

    async def _form(self, visit: Visit, typed: Typed, wrong: dict[str, str]) -> Response:
        loop = await self._loops.one(visit.account, visit.loop)
        replays = await self._calls.every(visit.account, loop.id)
        shown = {"loop": loop, "replays": replays, "typed": typed, "wrong": wrong}
        return self._views.page(visit, "replays.html", 422 if wrong else 200, **shown)
