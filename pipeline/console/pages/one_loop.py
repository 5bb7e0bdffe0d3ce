"""One loop: how it stands, what it is set to, its secrets; changed and removed."""

from typing import Any

from starlette.responses import Response

from pipeline.console.attempt_calls import AttemptCalls
from pipeline.console.console import Console
from pipeline.console.forms import LoopPatch
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.pages import fared, loop_form, refused, snippets
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.loop_form import Typed
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, to
from pipeline.console.shown import LoopShown
from pipeline.deliver.signing import live
from pipeline.model.loops import Loop


class LoopPages:
    """The pages of a loop."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._effects = console.effects
        self._picture = console.directory.picture
        self._health = console.health
        self._system = console.effects.system
        self._calls = LoopCalls(console)
        self._attempts = AttemptCalls(console)
        self._door = door
        self._views = views
        self._snippets = snippets.every()

    async def overview(self, visit: Visit) -> Response:
        """`GET /loops/{loop}?range=`."""
        loop = await self._calls.one(visit.account, visit.loop)
        now = self._effects.now()
        known = await self._health.of(visit.account, [loop.id], now)
        lane = await self._system.lane(loop.id)
        shown: dict[str, Any] = {
            "loop": loop,
            "wanted": loop_form.filter_sentence(loop),
            "failing": self._picture.failing(self._row(visit)),
            "secrets": live(self._row(visit).secrets, now),
            "health": known.get(loop.id),
            "lane": lane,
            "ranges": fared.NAMES,
            "fared": await fared.fared(
                self._attempts, fared.Whose(visit.account, loop.id), visit.query.get("range", ""), now
            ),
            "snippets": self._snippets,
        }
        return self._views.page(visit, "loop.html", **shown)

    async def lane(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/lane`: the part of the page that is live, for a script."""
        loop = await self._calls.one(visit.account, visit.loop)
        return self._views.page(visit, "_lane.html", loop=loop, lane=await self._system.lane(loop.id))

    async def history(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/history`."""
        loop = await self._calls.one(visit.account, visit.loop)
        changes = await self._calls.history(visit.account, visit.loop)
        return self._views.page(visit, "history.html", loop=loop, changes=changes)

    async def settings(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/settings`."""
        loop = await self._calls.one(visit.account, visit.loop)
        return self._settings(visit, loop, loop_form.of_loop(loop), {})

    async def save(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/settings`."""
        before = await self._calls.one(visit.account, visit.loop)
        typed = loop_form.typed(visit.form)
        form, wrong = loop_form.checked(loop_form.asked(typed, before), LoopPatch)
        if form is None:
            return self._settings(visit, before, typed, wrong)
        loop = await self._calls.change(visit.account, visit.by, visit.loop, form)
        if loop.url != before.url:
            told = Flash("Saved. The address is new: prove it, and what happens meanwhile waits.")
            return self._door.say(visit, to(f"/loops/{loop.id}/verify"), told)
        return self._door.say(visit, to(f"/loops/{loop.id}/settings"), Flash("Saved."))

    async def rotate(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/secrets`."""
        made = await self._calls.rotate(visit.account, visit.by, visit.loop)
        told = Flash(
            "There is a new secret. The one before it signs too, for 24 hours.", "good", visit.loop, made.secret
        )
        return self._door.say(visit, to(f"/loops/{visit.loop}"), told)

    async def remove(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/remove`: where the loop's name was typed."""
        loop = await self._calls.one(visit.account, visit.loop)
        if visit.form.get("name", "").strip() != loop.name.strip():
            wrong = {"remove": "This is not the loop's name: nothing was removed"}
            return self._settings(visit, loop, loop_form.of_loop(loop), wrong)
        await self._calls.remove(visit.account, visit.loop)
        return self._door.say(visit, to("/loops"), Flash(f"{loop.name} was removed."))

    def _settings(self, visit: Visit, loop: LoopShown, typed: Typed, wrong: dict[str, str]) -> Response:
        shown = {"loop": loop, "typed": typed, "wrong": wrong, "events": loop_form.EVENTS}
        return self._views.page(visit, "settings.html", 422 if wrong else 200, **shown)

    def _row(self, visit: Visit) -> Loop:
        loop = self._picture.loop(visit.account, visit.loop)
        if loop is None:
            raise refused.missing()
        return loop
