"""What happens, as it happens: a list of the latest attempts, and a stream (server-sent events) of what comes."""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast, get_args
from urllib.parse import urlencode

import msgspec
from sqlalchemy import Row
from starlette.responses import Response, StreamingResponse

from pipeline.console.attempts import attempt
from pipeline.console.console import Console, StoreAwayError
from pipeline.console.live import Kind, Seen, Wanted
from pipeline.console.pages import loop_form
from pipeline.console.pages.door import Door
from pipeline.console.pages.refused import Refused
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Form, Visit
from pipeline.console.store import search
from pipeline.console.store.read import Wish
from pipeline.console.store.retention import Limits, horizon
from pipeline.console.store.told import STATES, Told, microseconds

LIMITS = Limits()
LATEST = 50
MOST_LOOPS = 200  # that are asked for their latest
BEAT_SECONDS = 15.0  # proxies close what is silent
CHECK_SECONDS = 1.0  # as long may a session that ended be answered with silence
LONGEST = 400
NAMES = ("kind", "type", "loop", "who")
TYPES = [kind for group, kinds in loop_form.EVENTS.items() for kind in kinds]


class Line(NamedTuple):
    """An event or an attempt, as a row shows it; `state` is None for an event."""

    type: str
    at: datetime
    profile: str
    recipient: str | None
    about: str
    loop: str | None = None
    loop_name: str = ""
    state: str | None = None
    status: int | None = None
    ms: float = 0.0
    machine: bool = False


class LivePages:
    """The page that is live, and its stream."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._effects = console.effects
        self._picture = console.directory.picture
        self._store = console.store
        self._ready = console.ready
        self._door = door
        self._views = views

    async def show(self, visit: Visit) -> Response:
        """`GET /watch?kind=&type=&loop=&who=`."""
        wanted, names = wanted_of(visit.query), self._names(visit.account)
        lines = await self._latest(visit.account, wanted, names)
        asked = {name: value for name, value in wanted._asdict().items() if value}
        shown: dict[str, Any] = {
            "wanted": wanted,
            "lines": lines or [],
            "away": lines is None,
            "names": names,
            "types": TYPES,
            "stream": "/watch/stream" + (f"?{urlencode(asked)}" if asked else ""),
        }
        return self._views.page(visit, "live.html", **shown)

    async def stream(self, visit: Visit) -> Response:
        """`GET /watch/stream`, with the same filters."""
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        if visit.request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        if not self._effects.watching.has_room(visit.account):
            raise Refused(429, "Too many windows watch this account. Close one, then load this again.")
        return StreamingResponse(self._told(visit), headers=headers, media_type="text/event-stream")

    async def _told(self, visit: Visit) -> AsyncIterator[str]:
        """Until the browser leaves, the session ends, of which it is told, or the console stops: it comes back then."""
        watcher = self._effects.watching.watch(visit.account, wanted_of(visit.query))
        live: bool | None = None
        spoke = self._effects.clock()
        try:
            yield "retry: 2000\n\n"
            while self._ready():
                glance = await watcher.next(CHECK_SECONDS)
                if not self._door.is_in(visit):
                    yield _event("over", {})
                    return
                said = ""
                if glance.live != live:
                    live = glance.live
                    said += _event("state", {"live": live})
                if glance.seen:
                    said += _event("rows", {"rows": self._rows(visit, glance.seen), "dropped": glance.dropped})
                if not said and self._effects.clock() - spoke >= BEAT_SECONDS:
                    said = _event("state", {"live": live})  # the page counts on it: a line that broke is silent too
                if said:
                    spoke = self._effects.clock()
                    yield said
        finally:
            self._effects.watching.leave(watcher)

    def _rows(self, visit: Visit, seen: list[Seen]) -> list[str]:
        names = self._names(visit.account)
        return [self._views.part("_happened.html", "line", line_of(one, names)) for one in seen]

    async def _latest(self, account: str, wanted: Wanted, names: dict[str, str]) -> list[Line] | None:
        """The newest attempts; None where the store is away."""
        if wanted.kind == "events":
            return []
        loops = [loop for loop in names if wanted.loop in {"", loop}][-MOST_LOOPS:]
        edge = horizon(microseconds(self._effects.now()), LIMITS)
        fields = {"type": wanted.type, "recipient" if "@" in wanted.who else "profile": wanted.who}
        wish = Wish(same=tuple((name, value) for name, value in fields.items() if value), limit=LATEST)
        try:
            rows = await self._store.ask(partial(search.latest, account=account, loops=loops, wish=wish, edge=edge))
        except StoreAwayError:
            return None
        return [of_row(row, names) for row in rows]

    def _names(self, account: str) -> dict[str, str]:
        return {loop.id: loop.name for loop in self._picture.loops_of(account)}


def wanted_of(query: Form) -> Wanted:
    """The filter that the address has; a kind that is none wants all."""
    kind, *rest = (query.get(name, "").strip()[:LONGEST] for name in NAMES)
    return Wanted(cast("Kind", kind if kind in get_args(Kind) else ""), *rest)


def line_of(one: Seen, names: dict[str, str]) -> Line:
    """An event or an attempt as a row."""
    if isinstance(one, Told):
        state, ms = STATES[one.outcome], one.timings.total
        name = names.get(one.loop, one.loop)
        return Line(
            one.type, one.at, one.profile, one.recipient, one.error or one.url, one.loop, name, state, one.status, ms
        )
    about = one.url or ", ".join(filter(None, (one.mailing, *(one.tags or ()))))
    return Line(one.type, one.at, one.profile, one.recipient, about, machine=bool(one.machine))


def of_row(row: Row[Any], names: dict[str, str]) -> Line:
    """An attempt of the store as a row."""
    one = attempt(row)
    name = names.get(row.loop, row.loop)
    about, ms = one.error or one.url, one.timings.total
    return Line(one.type, one.at, one.profile, one.recipient, about, row.loop, name, one.state, one.status, ms)


def _event(name: str, told: dict[str, Any]) -> str:
    """One server-sent event: JSON has no line feed in it."""
    return f"event: {name}\ndata: {msgspec.json.encode(told).decode()}\n\n"
