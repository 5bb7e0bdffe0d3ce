"""The calls about what an account chose: the domains of its links, and its readers' privacy."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Path
from msgspec.structs import replace

from pipeline.capture.choices import host_of
from pipeline.console import accounts
from pipeline.console.calls import Account
from pipeline.console.console import Console
from pipeline.console.forms import DomainsForm, PrivacyForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.shown import DomainsShown, PrivacyShown
from pipeline.model.accounts import Account as Row
from pipeline.model.accounts import Choices
from pipeline.model.ids import ACCOUNT_PATTERN

Name = Annotated[str, Path(pattern=ACCOUNT_PATTERN)]


class AccountCalls:
    """Each method is a call; its docstring is what the OpenAPI says of it."""

    def __init__(self, console: Console) -> None:
        self._directory = console.directory
        self._own = console.tracking.base

    async def domains(self, account: Name) -> DomainsShown:
        """The account's own domains for tracking links."""
        return _domains(self._known(account))

    async def put_domains(self, account: Name, form: DomainsForm) -> DomainsShown:
        """The account's own domains from now on: new links lead to the first, and all take the account's tokens alone.

        Each must lead to capture, with its name in the header `Host`. A domain that is taken away takes
        everybody's tokens again, as long as it leads there. Capture knows of it about a second later.
        """
        async with self._directory.lock("domains"):
            self._known(account)
            self._check_free(account, form.domains)
            return _domains(await self._changed(account, lambda row: replace(row, domains=form.domains)))

    async def privacy(self, account: Account) -> PrivacyShown:
        """What is kept of the account's readers."""
        return _privacy(self._known(account))

    async def put_privacy(self, account: Account, form: PrivacyForm) -> PrivacyShown:
        """What is kept of the account's readers from now on. Capture knows of it about a second later."""
        choices = Choices(obey_signals=form.obey_signals, unregistered=form.unregistered)
        return _privacy(await self._changed(account, lambda row: replace(row, privacy=choices)))

    async def _changed(self, account: str, change: Callable[[Row], Row]) -> Row:
        async with self._directory.lock(f"account {account}"):
            row = change(self._known(account))
            await self._directory.write(accounts.row(row))
        return row

    def _check_free(self, account: str, domains: list[str]) -> None:
        """Problem where a host is another's, or the installation's own: it would refuse everybody's links there."""
        taken = {_host(self._own): "is where everybody's links lead"}
        for row in self._directory.picture.accounts.values():
            if row.account != account:
                taken |= {_host(base): "is another account's" for base in row.domains}
        for at, base in enumerate(domains):
            if why := taken.get(_host(base)):
                wrong = Wrong(f"body.domains.{at}", f"{base} {why}")
                raise Problem("taken", f"{wrong.where}: {wrong.what}", [wrong])

    def _known(self, account: str) -> Row:
        found = self._directory.picture.accounts.get(account)
        if found is None:
            raise Problem("not-found", "there is no such account")
        return found


def _host(base: str) -> str:
    return host_of(base.partition("//")[2])


def _domains(row: Row) -> DomainsShown:
    return DomainsShown(account=row.account, domains=row.domains)


def _privacy(row: Row) -> PrivacyShown:
    choices = row.privacy or Choices()
    return PrivacyShown(obey_signals=choices.obey_signals, unregistered=choices.unregistered)
