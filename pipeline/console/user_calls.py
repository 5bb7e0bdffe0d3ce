"""The calls about an account's users: added, listed, given another password, removed."""

from typing import Annotated

from fastapi import Path, Response
from msgspec.structs import replace

from pipeline.console import accounts, users
from pipeline.console.console import Console
from pipeline.console.forms import PasswordForm, UserForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.shown import UserMade, UserShown
from pipeline.model.accounts import Account, User
from pipeline.model.ids import ACCOUNT_PATTERN, USER_PATTERN

Name = Annotated[str, Path(pattern=ACCOUNT_PATTERN)]
UserName = Annotated[str, Path(pattern=USER_PATTERN)]


class UserCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._effects = console.effects
        self._directory = console.directory

    async def add(self, account: Name, form: UserForm) -> UserMade:
        """A new user of the account. A password that is left out is made, and shown this once."""
        self._known(account)
        made, hashed = await self._password(form)
        async with self._directory.lock(f"account {account}"):
            known = self._known(account)
            if users.find(known, form.name):
                taken = Wrong("body.name", f"{form.name} is a user already")
                raise Problem("taken", f"{taken.where}: {taken.what}", [taken])
            user = users.made(form.name, form.role, hashed, self._effects.now())
            await self._directory.write(accounts.row(users.added(known, user)))
        return users.shown_once(account, user, made)

    async def every(self, account: Name) -> list[UserShown]:
        """The account's users, by name."""
        known = self._known(account)
        return [users.shown(account, one) for one in sorted(known.users, key=lambda one: one.name)]

    async def change_password(self, account: Name, user: UserName, form: PasswordForm) -> UserMade:
        """Another password; who signed in with the old one is signed out. Left out, it is made and shown this once."""
        self._user(account, user)
        made, hashed = await self._password(form)
        async with self._directory.lock(f"account {account}"):
            changed = replace(self._user(account, user), password=hashed)
            await self._directory.write(accounts.row(users.added(self._known(account), changed)))
        return users.shown_once(account, changed, made)

    async def remove(self, account: Name, user: UserName) -> Response:
        """Removes a user, who is signed out everywhere."""
        async with self._directory.lock(f"account {account}"):
            self._user(account, user)
            await self._directory.write(accounts.row(users.removed(self._known(account), user)))
        return Response(status_code=204)

    async def _password(self, form: PasswordForm) -> tuple[str | None, str]:
        """The password that was made, None where it was given, and its hash."""
        made = None if form.password else users.password(self._effects.random(users.PASSWORD_BYTES))
        return made, await self._effects.hashes.hash(form.password or made or "")

    def _known(self, account: str) -> Account:
        found = self._directory.picture.accounts.get(account)
        if found is None:
            raise Problem("not-found", "there is no such account")
        return found

    def _user(self, account: str, name: str) -> User:
        found = users.find(self._known(account), name)
        if found is None:
            raise Problem("not-found", "there is no such user")
        return found
