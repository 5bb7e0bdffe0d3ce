"""The calls about dead letters: listed, shown, redriven, purged."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Annotated

from fastapi import Query

from pipeline.console import dead
from pipeline.console.calls import Account
from pipeline.console.console import Console, StoreAwayError
from pipeline.console.forms import PurgeForm, RedriveForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.questions import DeadAsked
from pipeline.console.shown import DeadLetterShown, DeadsShown, PurgedShown, RedrivenShown
from pipeline.console.store import cursor
from pipeline.console.store import dead as store
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.dead import Letter, Sought
from pipeline.console.store.read import Whose
from pipeline.console.store.retention import Horizon, Limits, horizon
from pipeline.console.store.told import microseconds
from pipeline.model.loops import Loop, State, state_of

LIMITS = Limits()
AT_ONCE = 500  # letters that are read, and written, together
MOST = 10_000  # of one call
SEEN_SECONDS = 3.0  # what was taken away is waited for in the store, so that whoever asks next does not find it


class DeadCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._effects = console.effects
        self._directory = console.directory
        self._store = console.store
        self._ladder = console.ladder
        self._due = console.taken.due
        self._gone = console.taken.gone

    async def every(self, account: Account, loop: str, asked: Annotated[DeadAsked, Query()]) -> DeadsShown:
        """What was given up, the newest first, each with its reason and the attempts that failed.

        A letter is there a second or so after the last attempt, for 30 days, or until it is redriven or purged.
        `total` counts all that fit. Those of a loop that was removed are still there.
        """
        whose, edge, sought = await self._whose(account, loop), self._edge(), dead.sought(asked)
        after = cursor.read(asked.cursor) if asked.cursor else None
        rows, then = await self._store.ask(
            partial(store.page, whose=whose, sought=sought, edge=edge, after=after, limit=asked.limit)
        )
        total = await self._store.ask(partial(store.count, whose=whose, sought=sought, edge=edge))
        return dead.page(rows, then, total)

    async def one(self, account: Account, loop: str, delivery: str) -> DeadLetterShown:
        """One dead letter, with the event it was to tell."""
        whose = await self._whose(account, loop)
        row = await self._store.ask(partial(store.one, whose=whose, delivery=delivery, edge=self._edge()))
        if row is None:
            raise Problem("not-found", "there is no such dead letter")
        return dead.letter(row)

    async def redrive(self, account: Account, loop: str, form: RedriveForm | None = None) -> RedrivenShown:
        """Sends dead letters once more: all of the loop, or those that fit. Each keeps its `webhook-id`.

        They enter at the first retry topic, the oldest first, at most `rate` of them a second (200 without), and climb
        the whole ladder again if they fail: attempts are counted anew, the history goes on. A call takes 10,000; where
        `left` is more than 0, ask again. Those of a paused loop wait until it goes on.
        """
        asked = form or RedriveForm()
        sought, whose = dead.sought(asked), await self._whose(account, loop)
        self._check_state(account, loop)
        async with self._directory.lock(f"dead/{loop}"):
            await self._look_again(loop)
            moved, after, due = 0, None, None
            while moved < MOST:
                try:
                    known = self._check_state(account, loop)
                except Problem:
                    if moved:
                        break  # disabled or removed meanwhile: what was moved is told, the others stay
                    raise
                letters = await self._some(whose, sought, after)
                if not letters:
                    break
                after = letters[-1].place
                if taken := dead.readable(self._there(loop, letters)):
                    due = await self._move(known, taken, asked.rate)
                    moved += len(taken)
            left = await self._left(whose, sought)
        return RedrivenShown(redriven=moved, left=left, last_due=None if due is None else dead.at(due))

    async def purge(self, account: Account, loop: str, form: PurgeForm) -> PurgedShown:
        """Forgets dead letters for good: those named, those that fit, or `all`. What is asked has to be said.

        A call takes 10,000; where `left` is more than 0, ask again.
        """
        sought, whose = dead.sought(form), await self._whose(account, loop)
        if sought == Sought() and not form.all:
            wrong = Wrong("body", "say which: deliveries, a filter, or all: true")
            raise Problem("invalid", f"{wrong.where}: {wrong.what}", [wrong])
        async with self._directory.lock(f"dead/{loop}"):
            await self._look_again(loop)
            purged, after = 0, None
            while purged < MOST and (letters := await self._some(whose, sought, after)):
                after = letters[-1].place
                if taken := self._there(loop, letters):
                    await self._bury(loop, taken)
                    purged += len(taken)
            left = await self._left(whose, sought)
        return PurgedShown(purged=purged, left=left)

    async def _some(self, whose: Whose, sought: Sought, after: Cursor | None) -> list[Letter]:
        return await self._store.ask(
            partial(store.some, whose=whose, sought=sought, edge=self._edge(), after=after, limit=AT_ONCE)
        )

    async def _left(self, whose: Whose, sought: Sought) -> int:
        gone = self._gone.get(whose.loop, ())
        return await self._store.ask(partial(store.count, whose=whose, sought=sought, edge=self._edge(), but=gone))

    def _there(self, loop: str, letters: Sequence[Letter]) -> list[Letter]:
        """Without those that were taken away, and which the store has still."""
        gone = self._gone.get(loop, ())
        return [one for one in letters if one.place.id not in gone]

    async def _look_again(self, loop: str) -> None:
        """What the store has noticed by now need not be remembered."""
        if gone := self._gone.pop(loop, None):
            self._remember(loop, await self._store.ask(partial(store.still, loop=loop, numbers=sorted(gone))))

    def _remember(self, loop: str, gone: Collection[int]) -> None:
        if gone:
            self._gone.setdefault(loop, set()).update(gone)

    async def _move(self, loop: Loop, letters: Sequence[Letter], rate: float | None) -> float:
        """First they stand in the retry topic, then their letters go: a crash between sends some twice, loses none.

        When the last is due.
        """
        now = self._effects.now().timestamp()
        pace = dead.pace(loop, rate, self._due.get(loop.id, 0.0), now + self._ladder.held(0))
        dues = [pace.due + number * pace.apart for number in range(len(letters))]
        await self._directory.send(
            *(dead.redriven(one, self._ladder, now, due) for one, due in zip(letters, dues, strict=True))
        )
        self._due[loop.id] = dues[-1] + pace.apart
        await self._bury(loop.id, letters)
        return dues[-1]

    async def _bury(self, loop: str, letters: Sequence[Letter]) -> None:
        """A store that does not notice is waited for once a call: what it has still is remembered as gone."""
        await self._directory.send(*(dead.tombstone(loop, one.delivery) for one in letters))
        numbers = [one.place.id for one in letters]
        waits = loop not in self._gone
        self._remember(loop, numbers)
        if waits and await self._store.until(lambda asked: not store.still(asked, loop, numbers), SEEN_SECONDS):
            del self._gone[loop]

    def _check_state(self, account: str, loop: str) -> Loop:
        """The loop; Problem where nothing is sent to it."""
        known = self._directory.picture.loop(account, loop)
        if why := dead.refusal(self._state(known)):
            raise Problem("unverified" if known else "not-found", why)
        assert known is not None  # noqa: S101 (for mypy: a loop that was removed is refused)
        return known

    def _state(self, loop: Loop | None) -> State | None:
        return None if loop is None else state_of(loop, self._directory.picture.found.get(loop.id))[0]

    async def _whose(self, account: str, loop: str) -> Whose:
        """Whose letters; Problem where the account neither has the loop nor letters of it."""
        whose = Whose(account, loop)
        if self._directory.picture.loop(account, loop) is None and not await self._was(whose):
            raise Problem("not-found", "there is no such loop")
        return whose

    async def _was(self, whose: Whose) -> bool:
        """Whether it was the account's loop; where the store does not answer, nobody learns of it."""
        try:
            return await self._store.ask(partial(store.has_any, whose=whose))
        except StoreAwayError:
            return False

    def _edge(self) -> Horizon:
        return horizon(microseconds(self._effects.now()), LIMITS)
