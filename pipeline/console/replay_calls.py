"""The calls about replays: asked for, followed, cancelled."""

from pipeline.console import replays
from pipeline.console.calls import Account
from pipeline.console.console import Console
from pipeline.console.forms import ReplayForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.shown import ReplayShown
from pipeline.model.loops import Loop, State, state_of
from pipeline.model.replays import Progress, Replay, word_of


class ReplayCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._effects = console.effects
        self._directory = console.directory
        self._posted: set[str] = set()  # replays whose last delivery is known to have been posted

    async def create(self, account: Account, loop: str, form: ReplayForm) -> ReplayShown:
        """Sends past events again, under the ids they had; what happens now goes first.

        Wanted are those written from `from` to before `to` that the loop's types and filter let through, and the
        lists given here too. One replay of a loop is under way at a time. A `dry_run` counts what would be sent.
        """
        known = self._known(account, loop)
        self._check(known, form)
        ranges = await self._effects.past.ranges(form.since, form.until)
        async with self._directory.lock(loop):
            if replays.unfinished(self._directory.picture.replays, loop) >= replays.MOST_UNFINISHED:
                raise Problem("busy", f"the loop has {replays.MOST_UNFINISHED} replays under way: wait, or cancel one")
            now, new = self._effects.now(), replays.identity(self._effects.random)
            replay = replays.asked(new, self._known(account, loop), form, ranges, now)
            await self._directory.write(replays.row(replay))
        return await self._shown(replay)

    async def every(self, account: Account, loop: str) -> list[ReplayShown]:
        """The loop's replays of the last 30 days, the newest first."""
        self._known(account, loop)
        return [await self._shown(one) for one in reversed(self._directory.picture.replays.of(loop))]

    async def one(self, account: Account, replay: str) -> ReplayShown:
        """How far a replay came: `done` once each delivery was posted, or waits for a retry."""
        return await self._shown(self._asked(account, replay))

    async def cancel(self, account: Account, replay: str) -> ReplayShown:
        """Sends no more of it. One that is at its end stays as it is."""
        asked = self._asked(account, replay)
        async with self._directory.lock(asked.loop):
            asked = self._asked(account, replay)
            if word_of(asked, self._came(replay)) in replays.UNFINISHED:
                asked = replays.cancelled(asked, self._effects.now())
                await self._directory.write(replays.row(asked))
        return await self._shown(asked)

    def _check(self, loop: Loop, form: ReplayForm) -> None:
        state = self._state(loop)
        if state in {"unverified", "disabled"} and not form.dry_run:
            raise Problem("unverified", f"the loop is {state}: place the verification file and verify it first")
        if strange := [kind for kind in form.types if kind not in loop.events]:
            wrong = Wrong("body.types", f"the loop does not ask for {strange[0]}")
            raise Problem("invalid", f"{wrong.where}: {wrong.what}", [wrong])

    async def _shown(self, replay: Replay) -> ReplayShown:
        came, loop = self._came(replay.id), self._directory.picture.loop(replay.account, replay.loop)
        if replay.id not in self._posted and word_of(replay, came) == "done":
            ends = replays.ends(came)
            if not ends or await self._effects.past.delivered(ends):
                self._posted.add(replay.id)
        return replays.shown(replay, came, self._state(loop) if loop else None, posted=replay.id in self._posted)

    def _came(self, replay: str) -> list[Progress]:
        return self._directory.picture.replays.came(replay)

    def _state(self, loop: Loop) -> State:
        return state_of(loop, self._directory.picture.found.get(loop.id))[0]

    def _known(self, account: str, loop: str) -> Loop:
        found = self._directory.picture.loop(account, loop)
        if found is None:
            raise Problem("not-found", "there is no such loop")
        return found

    def _asked(self, account: str, replay: str) -> Replay:
        found = self._directory.picture.replays.get(replay)
        if found is None or found.account != account:
            raise Problem("not-found", "there is no such replay")
        return found
