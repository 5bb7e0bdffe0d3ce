"""Who was told what: a recipient is looked up, and all that happened to them is one timeline."""

from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from starlette.responses import Response

from pipeline.console.console import Console, StoreAwayError
from pipeline.console.pages import timeline
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit
from pipeline.console.store import search
from pipeline.console.store.retention import Limits, horizon
from pipeline.console.store.search import Found
from pipeline.console.store.told import microseconds
from pipeline.model.events import Event
from pipeline.model.ids import is_id

MOST_ATTEMPTS = 500
MOST_PROFILES = 3  # of one address or message: each is a scan
MOST_SHOWN = 100
DAYS = 30  # as long as events are kept
LONGEST = 400  # characters of what is looked for
LIMITS = Limits()


class Events(NamedTuple):
    """What Kafka has: `cut` where it was not read to its end, `away` where it did not answer."""

    events: list[Event]
    cut: bool
    away: bool


class RecipientPages:
    """The page of recipients."""

    def __init__(self, console: Console, views: Views) -> None:
        self._effects = console.effects
        self._picture = console.directory.picture
        self._store = console.store
        self._views = views

    async def find(self, visit: Visit) -> Response:
        """`GET /recipients?q=`."""
        word = visit.query.get("q", "").strip()[:LONGEST]
        if not word:
            return self._views.page(visit, "recipients.html", asked="", found=None, said=[])
        attempts = await self._attempts(visit.account, word)
        names = {loop.id: loop.name for loop in self._picture.loops_of(visit.account)}
        told = timeline.concerns(attempts.rows, word, names) if attempts else []
        events = await self._events(visit.account, word, timeline.profiles(told))
        found = timeline.of(events.events, told)
        shown: dict[str, Any] = {
            "found": found[:MOST_SHOWN],
            "said": _said(attempts, events, len(found)),
            "names": names,
        }
        return self._views.page(visit, "recipients.html", asked=word, **shown)

    async def _attempts(self, account: str, word: str) -> Found | None:
        edge = horizon(microseconds(self._effects.now()), LIMITS)
        question = partial(search.about, account=account, word=word, limit=MOST_ATTEMPTS, edge=edge)
        try:
            return await self._store.ask(question)
        except StoreAwayError:
            return None

    async def _events(self, account: str, word: str, told: list[str]) -> Events:
        """Of the profiles that attempts were about, and of the one the word may name."""
        profiles = dict.fromkeys([*([word] if is_id(word) else []), *told[:MOST_PROFILES]])
        events, cut, away = list[Event](), len(told) > MOST_PROFILES, False
        since = self._effects.now() - timedelta(days=DAYS)
        for profile in profiles:
            scan = await self._effects.past.of_profile(account, profile, since)
            if scan is None:
                away = True
                break
            cut |= scan.cut
            events += [event for event in scan.events if timeline.is_about(event, word)]
        return Events(events, cut, away)


def _said(attempts: Found | None, events: Events, count: int) -> list[str]:
    """What the page does not show."""
    said = []
    if attempts is None:
        said.append("The store of attempts does not answer now: only events are shown.")
    elif attempts.cut:
        said.append(f"Only the newest {MOST_ATTEMPTS} attempts were looked at.")
    if events.away:
        said.append("Kafka does not answer now: only what was sent is shown.")
    elif events.cut:
        said.append(
            "Events were cut: of each profile the newest 1,000 are looked at, "
            "within the newest 20,000 records of its partition."
        )
    if count > MOST_SHOWN:
        said.append(f"The newest {MOST_SHOWN} of {count} events are shown.")
    return said
