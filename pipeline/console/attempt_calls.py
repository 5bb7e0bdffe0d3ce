"""The calls about what was sent: each attempt, and how many there were and how long they took."""

from functools import partial
from typing import Annotated

from fastapi import Query

from pipeline.console import again, attempts
from pipeline.console.calls import Account
from pipeline.console.console import Console, NotReadError, StillLookedForError
from pipeline.console.problems import Problem
from pipeline.console.questions import AttemptsAsked, StatsAsked
from pipeline.console.shown import AgainShown, AttemptShown, AttemptsShown, StatsShown
from pipeline.console.sought import MOST_SECONDS, sought
from pipeline.console.store import read
from pipeline.console.store.read import Whose
from pipeline.console.store.retention import Horizon, Limits, horizon
from pipeline.console.store.told import microseconds
from pipeline.model.loops import Loop, state_of

LIMITS = Limits()


class AttemptCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._effects = console.effects
        self._directory = console.directory
        self._store = console.store

    async def attempts(self, account: Account, loop: str, asked: Annotated[AttemptsAsked, Query()]) -> AttemptsShown:
        """What was sent, the newest first. An attempt is seen within a second or so of its answer.

        Of each loop the newest 1,000 delivered and the newest 100,000 failed attempts are kept, for 30 days. The next
        page is asked for with `cursor`, and the same filters; what is sent meanwhile does not move it.
        """
        whose = self._whose(account, loop)
        return attempts.page(
            await self._store.ask(partial(read.attempts, whose=whose, wish=attempts.wish(asked), edge=self._edge()))
        )

    async def again(self, account: Account, loop: str, attempt: str) -> AgainShown:
        """Sends the delivery of an attempt once more, under the id it had, also where it was taken before.

        The event it was made of has to be there still, which it is for 30 days. It is sent with the loop's present
        settings, behind what happens now; that of a paused loop waits until it goes on.
        A batch is sent again by a replay alone.
        """
        made = await self.one(account, loop, attempt)
        if made.batch:
            raise Problem("a-batch", "this POST told several events: a replay of their time sends them again")
        self._check_state(account, loop)
        try:
            event = await self.event(account, made, MOST_SECONDS + 2)
        except (NotReadError, StillLookedForError) as failed:
            why = str(failed) or "it is still looked for"
            raise Problem("unavailable", f"nothing was sent, since its event was not read: {why}") from failed
        if event is None:
            raise Problem("gone", "the event of this attempt is no longer kept: it can't be sent again")
        known = self._check_state(account, loop)
        sent = again.delivery(made, known, event, again.identity(self._effects.random))
        await self._directory.send(again.record(sent))
        return again.shown(sent, made)

    async def one(self, account: str, loop: str, attempt: str) -> AttemptShown:
        """One attempt; Problem where there is none."""
        whose, number = self._whose(account, loop), attempts.number(attempt)
        question = partial(read.attempt, whose=whose, number=number or 0, edge=self._edge())
        row = None if number is None else await self._store.ask(question)
        if row is None:
            raise Problem("not-found", "there is no such attempt")
        return attempts.attempt(row)

    async def event(self, account: str, attempt: AttemptShown, seconds: float) -> bytes | None:
        """The event of an attempt, as it stands in `events`; None where it is no longer there.

        StillLookedForError after so many seconds, NotReadError where it can't be read.
        """
        return await self._effects.past.event(sought(account, attempt.profile, attempt.event, attempt.at), seconds)

    async def stats(self, account: Account, loop: str, asked: Annotated[StatsAsked, Query()]) -> StatsShown:
        """How many attempts were made over time, how they ended, how long they took. All are counted, for 30 days.

        Latencies are milliseconds from the start of a POST to the end of its answer, of all attempts together, and at
        most a tenth off. Steps of less than an hour are there for 7 days.
        """
        whose, edge = self._whose(account, loop), self._edge()
        asked_for = attempts.stretch(asked, self._effects.now(), edge)
        rows = await self._store.ask(partial(read.counts, whose=whose, asked=asked_for, edge=edge))
        return attempts.shown(asked_for, rows)

    def _check_state(self, account: str, loop: str) -> Loop:
        """The loop; Problem where nothing is sent to it."""
        picture = self._directory.picture
        known = picture.loop(account, loop)
        if known is None:
            raise Problem("not-found", "there is no such loop")
        if why := again.refusal(state_of(known, picture.found.get(loop))[0]):
            raise Problem("unverified", why)
        return known

    def _whose(self, account: str, loop: str) -> Whose:
        if self._directory.picture.loop(account, loop) is None:
            raise Problem("not-found", "there is no such loop")
        return Whose(account, loop)

    def _edge(self) -> Horizon:
        return horizon(microseconds(self._effects.now()), LIMITS)
