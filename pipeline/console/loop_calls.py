"""The calls about loops: made, shown, changed, removed, verified."""

from fastapi import Response

from pipeline import verification
from pipeline.console import loops, trial
from pipeline.console.calls import Account, By
from pipeline.console.console import Console
from pipeline.console.forms import LoopForm, LoopPatch
from pipeline.console.problems import Problem
from pipeline.console.shown import ChangeShown, LoopMade, LoopShown, SecretShown, TrialShown
from pipeline.deliver.notices import notice
from pipeline.model.loops import Loop, state_of
from pipeline.verification import Look


class LoopCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._effects = console.effects
        self._directory = console.directory
        self._seals = console.seals

    async def create(self, account: Account, by: By, form: LoopForm) -> LoopMade:
        """A new loop, unverified. Its secret is shown this once."""
        new, now = loops.identity(self._effects.random), self._effects.now()
        made = loops.keyed(loops.created(account, form, new, self._seals, now), self._seals, now)
        loop = loops.noted(made, "created", by, now)
        await self._directory.write(loops.row(loop))
        return LoopMade(secret=new.secret, **dict(self._shown(loop)))

    async def every(self, account: Account) -> list[LoopShown]:
        """The account's loops, the oldest first."""
        return [self._shown(loop) for loop in self._directory.picture.loops_of(account)]

    async def one(self, account: Account, loop: str) -> LoopShown:
        """One loop."""
        return self._shown(self._known(account, loop))

    async def history(self, account: Account, loop: str) -> list[ChangeShown]:
        """What was done to the loop and by whom, the newest first; the last 20 changes are kept."""
        known = self._known(account, loop)
        return [ChangeShown(at=one.at, what=one.what, by=one.by, fields=one.fields) for one in known.history]

    async def change(self, account: Account, by: By, loop: str, form: LoopPatch) -> LoopShown:
        """Changes what is given. A new `url` makes the loop unverified.

        What is on its way, and what happens meanwhile, waits then for `verify`.
        """
        async with self._directory.lock(loop):
            old = self._known(account, loop)
            new = loops.keyed(loops.patched(old, form, self._seals), self._seals, self._effects.now())
            if new != old:
                new = loops.noted(new, "changed", by, self._effects.now(), old)
                await self._directory.write(loops.row(new))
        return self._shown(new)

    async def pause(self, account: Account, by: By, loop: str) -> LoopShown:
        """Sends nothing of what happens from now on; it is held, and comes after `resume` under the same ids."""
        return await self._set_paused(account, by, loop, on=True)

    async def resume(self, account: Account, by: By, loop: str) -> LoopShown:
        """Sends again; what was held comes at a capped pace, beside what happens now."""
        return await self._set_paused(account, by, loop, on=False)

    async def _set_paused(self, account: str, by: str, loop: str, *, on: bool) -> LoopShown:
        async with self._directory.lock(loop):
            old = self._known(account, loop)
            new = loops.paused(old, on)
            if new != old:
                new = loops.noted(new, "paused" if on else "resumed", by, self._effects.now())
                await self._directory.write(loops.row(new))
        return self._shown(new)

    async def remove(self, account: Account, loop: str) -> Response:
        """Removes the loop; what was still to be delivered becomes dead letters."""
        async with self._directory.lock(loop):
            self._known(account, loop)
            await self._directory.write(loops.tombstone(loop))
        return Response(status_code=204)

    async def verify(self, account: Account, by: By, loop: str) -> LoopShown:
        """Looks for the verification file, and makes the loop active where it stands."""
        asked = self._known(account, loop)
        await self._prove(asked)
        async with self._directory.lock(loop):
            now = self._known(account, loop)
            if now.url != asked.url:
                raise Problem("changed", "the loop got another url meanwhile: verify it again")
            at = self._effects.now()
            new = loops.noted(loops.verified(now, at), "verified", by, at)
            was = state_of(now, self._directory.picture.found.get(loop))
            await self._directory.write(loops.row(new))
        if was[0] == "disabled":
            await self._directory.send(notice("loop.recovered", new, self._effects.now(), new.epoch, reason=was[1]))
        return self._shown(new)

    async def test(self, account: Account, loop: str) -> TrialShown:
        """Sends one sample event to the loop's server, signed like a delivery, and shows the answer."""
        asked = self._known(account, loop)
        if why := trial.refusal(asked, self._directory.picture.found.get(loop)):
            raise Problem("unverified", why)
        return trial.shown(await self._effects.send(trial.post(asked, self._seals, self._effects.now())))

    async def rotate(self, account: Account, by: By, loop: str) -> SecretShown:
        """A new signing secret, shown this once. The one before it signs too for 24 hours."""
        secret, now = loops.secret(self._effects.random), self._effects.now()
        async with self._directory.lock(loop):
            new = loops.rotated(self._known(account, loop), secret, self._seals, now)
            new = loops.noted(new, "rotated", by, now)
            await self._directory.write(loops.row(new))
        return SecretShown(secret=secret, old_expires_at=new.secrets[1].expires or now)

    async def _prove(self, loop: Loop) -> None:
        looks: list[Look] = []
        for url in verification.places(loop.url, loop.file):
            answer = await self._effects.fetch(url)
            looks.append(Look(url, answer, verification.judge(answer, loop.content)))
            if looks[-1].wrong is None:
                return
        raise Problem("unverifiable", verification.reason(looks), fetched=[verification.report(look) for look in looks])

    def _known(self, account: str, loop: str) -> Loop:
        found = self._directory.picture.loop(account, loop)
        if found is None:
            raise Problem("not-found", "there is no such loop")
        return found

    def _shown(self, loop: Loop) -> LoopShown:
        return loops.shown(loop, self._directory.picture.found.get(loop.id))
