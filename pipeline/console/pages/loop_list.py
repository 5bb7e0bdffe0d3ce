"""All loops of an account on one page: how each stands and fares, searched, paused and resumed in place."""

from typing import NamedTuple

from starlette.responses import Response

from pipeline.console.console import Console
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.loop_health import Health
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, local, to
from pipeline.console.shown import LoopShown


class Line(NamedTuple):
    """A loop and how it fares."""

    loop: LoopShown
    health: Health


class LoopListPages:
    """The pages about all loops."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._console = console
        self._calls = LoopCalls(console)
        self._door = door
        self._views = views

    async def every(self, visit: Visit) -> Response:
        """`GET /loops?q=`."""
        loops = await self._calls.every(visit.account)
        asked = visit.query.get("q", "").strip()
        found = [loop for loop in loops if matches(loop, asked)]
        known = await self._console.health.of(visit.account, [loop.id for loop in found], self._console.effects.now())
        lines = [Line(loop, known.get(loop.id, Health())) for loop in found]
        return self._views.page(visit, "loops.html", lines=lines, asked=asked, total=len(loops))

    async def pause(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/pause`."""
        loop = await self._calls.pause(visit.account, visit.by, visit.loop)
        return self._back(visit, f"{loop.name} is paused. What happens now is held for it.")

    async def resume(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/resume`."""
        loop = await self._calls.resume(visit.account, visit.by, visit.loop)
        return self._back(visit, f"{loop.name} goes on. What was held comes at a capped pace.")

    def _back(self, visit: Visit, told: str) -> Response:
        return self._door.say(visit, to(local(visit.form.get("back", ""))), Flash(told))


def matches(loop: LoopShown, asked: str) -> bool:
    """Whether each word stands in the loop's name, address, id, state or events."""
    text = " ".join((loop.name, loop.url, loop.id, loop.state, loop.reason or "", *loop.events)).lower()
    return all(word in text for word in asked.lower().split())
