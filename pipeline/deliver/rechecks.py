"""Verification files are looked for again, a few at a time, beside the deliveries: a part of deliver's door."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pipeline.calls import Calls
from pipeline.deliver.ownership import Doubt, due, found_out
from pipeline.model.standing import Standings
from pipeline.outbound import Answer, Request
from pipeline.record import Record
from pipeline.verification import LIMIT, SECONDS, Look, judge, places

AT_ONCE = 10
LONGEST_SLEEP = 60.0


@dataclass(slots=True)
class Rechecks:
    """Belongs to the event loop. `ours`: whether this process delivers to the loop; `write` produces a record."""

    calls: Calls
    standings: Standings
    every: timedelta
    ours: Callable[[str], bool]
    write: Callable[[Record], None]
    now: Callable[[], float]

    async def run(self) -> None:
        """Looks around until cancelled."""
        while True:
            await asyncio.sleep(min(self.every.total_seconds() / 4, LONGEST_SLEEP))
            doubts = self._doubts()
            for first in range(0, len(doubts), AT_ONCE):
                await asyncio.gather(*map(self._check, doubts[first : first + AT_ONCE]))

    def _doubts(self) -> list[Doubt]:
        now = self.now()
        found = [
            due(standing, self.standings.checked(standing.loop.id), self.every, now)
            for standing in self.standings.every()
            if self.ours(standing.loop.id)
        ]
        return [doubt for doubt in found if doubt is not None]

    async def _check(self, doubt: Doubt) -> None:
        looks: list[Look] = []
        for url in places(doubt.loop.url, doubt.loop.file):
            answer = await self._fetch(url)
            looks.append(Look(url, answer, judge(answer, doubt.loop.content)))
            if looks[-1].wrong is None:
                break
        standing = self.standings.get(doubt.loop.id)
        if standing is None or standing.loop.url != doubt.loop.url or not self.ours(doubt.loop.id):
            return  # it changed meanwhile: what was found says nothing of it
        for record in found_out(doubt, looks, self.now()):
            self.write(record)

    async def _fetch(self, url: str) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.calls.start(Request(url, seconds=SECONDS, limit=LIMIT + 1), answered.set_result)
        return await answered
