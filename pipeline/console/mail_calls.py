"""The calls about senders and their mail: accounts, profiles, mailings, links."""

from typing import Annotated

from fastapi import Header, Path, Request, Response
from pydantic import StringConstraints

from pipeline.console import accounts, hits, profiles, track
from pipeline.console.calls import Account
from pipeline.console.console import Console
from pipeline.console.forms import AccountForm, MailingForm, ProfileForm
from pipeline.console.lines import Lines, OneOrLines
from pipeline.console.load import Load, read
from pipeline.console.problems import Problem, Wrong
from pipeline.console.shown import AccountShown, LoadShown
from pipeline.model.ids import ID_PATTERN
from pipeline.record import Record

Id = Annotated[str, Path(pattern=ID_PATTERN)]
Origin = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$")] | None,
    Header(alias="loopwire-origin", description="who makes the change: loops may exclude an origin"),
]


class MailCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._tracking = console.tracking
        self._effects = console.effects
        self._directory = console.directory

    async def add_account(self, form: AccountForm) -> AccountShown:
        """A new account. Its API key is shown this once."""
        key = accounts.api_key(self._effects.random(accounts.KEY_BYTES))
        async with self._directory.lock(f"account {form.name}"):
            if form.name in self._directory.picture.accounts:
                taken = Wrong("body.name", f"{form.name} is an account already")
                raise Problem("taken", f"{taken.where}: {taken.what}", [taken])
            await self._directory.write(accounts.row(accounts.created(form.name, key, self._effects.now())))
        return AccountShown(account=form.name, api_key=key)

    async def put_profile(self, account: Account, profile: Id, form: ProfileForm, origin: Origin = None) -> Response:
        """A profile as it is from now on; answered once the broker has it."""
        row = profiles.profile_row(account, profile, form, self._effects.now())
        await self._directory.send(profiles.from_origin(row, origin))
        return Response(status_code=204)

    async def load_profiles(self, account: Account, request: Request, origin: Origin = None) -> LoadShown:
        """Profiles as they are from now on, one a line; answered once the broker has all that were taken."""

        def made(line: bytes) -> Record:
            form = read(line)
            return profiles.from_origin(profiles.profile_row(account, form.id, form, self._effects.now()), origin)

        return await self._loaded(Load(made), Lines(), request)

    async def load_hits(self, account: Account, request: Request) -> LoadShown:
        """Deliveries, bounces, failures, complaints and unsubscribes: one object, or one a line.

        Answered once the broker has all that were taken. A mail is known by `profile` and `mailing`, or by any tracking
        link that was in it.
        """
        teller = hits.Teller(account, self._tracking.keys)

        def made(line: bytes) -> Record:
            return hits.record(line, teller, self._effects.now(), self._effects.random(hits.RANDOM_BYTES))

        return await self._loaded(Load(made), OneOrLines(), request)

    async def _loaded(self, load: Load, lines: Lines, request: Request) -> LoadShown:
        async for piece in request.stream():
            for batch in load.take(lines.cut(piece)):
                await self._directory.send(*batch)
        for batch in (*load.take(lines.end()), load.rest()):
            await self._directory.send(*batch)
        return load.shown()

    async def delete_profile(self, account: Account, profile: Id, origin: Origin = None) -> Response:
        """Erases a profile; answered once the broker has it."""
        row = profiles.profile_tombstone(account, profile)
        await self._directory.send(profiles.from_origin(row, origin))
        return Response(status_code=204)

    async def put_mailing(self, account: Account, mailing: Id, form: MailingForm) -> Response:
        """A mailing as it is from now on; answered once the broker has it."""
        await self._directory.send(profiles.mailing_row(account, mailing, form))
        return Response(status_code=204)

    async def track(self, account: Account, request: Request) -> Response:
        """The tracking links of one mail, and the mail with them in it.

        Of `html` every absolute http(s) link of an `a`, an `area` or a VML element is tracked, in Outlook's conditional
        comments, too, and the pixel goes before the last `</body>`; nothing else changes. Links that hold a
        placeholder such as `{{name}}`, `*|NAME|*` or `%name%` stay, as do those whose visible text is an address.
        """
        body, domains = await request.body(), self._directory.picture.accounts[account].domains
        made = await self._effects.workbench.do(len(body), lambda: track.answer(self._tracking, account, body, domains))
        return Response(made, media_type="application/json")
