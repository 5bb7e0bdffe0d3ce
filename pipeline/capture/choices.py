"""What accounts chose, as far as it changes an answer or a hit: their domains, and their readers' privacy."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from pipeline.model.accounts import Choices


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What capture reads of an account's record."""

    account: str
    created: datetime
    domains: list[str] = []
    privacy: Choices | None = None

    @property
    def matters(self) -> bool:
        """Whether the account chose anything."""
        return bool(self.domains or self.privacy)


class Chosen(NamedTuple):
    """The choices of all accounts. `owners`: whose a host is. `known`: whether they were ever told to this capture."""

    owners: Mapping[str, str]
    obeying: frozenset[str]
    unregistered: frozenset[tuple[str, str]]
    known: bool = True

    def obeys(self, account: str) -> bool:
        """Whether Sec-GPC and DNT are obeyed: also where it is not known, since what was kept can't be unkept."""
        return not self.known or account in self.obeying

    def is_unregistered(self, account: str, mailing: str) -> bool:
        """Whether opens and clicks of the mailing are no hits."""
        return bool(self.unregistered) and (account, mailing) in self.unregistered

    def is_foreign(self, host: str, account: str) -> bool:
        """Whether the host of a request is another account's than this; `host` is as the header has it."""
        return bool(self.owners) and self.owners.get(host_of(host), account) != account


NOTHING = Chosen({}, frozenset(), frozenset())
UNKNOWN = NOTHING._replace(known=False)


def chosen(rows: Iterable[Row], own: str) -> Chosen:
    """The choices of these accounts. `own` is the installation's own base of links, which is nobody's.

    Of two accounts that claim a host the older has it: what worked goes on working.
    """
    mattering = sorted((row for row in rows if row.matters), key=lambda row: (row.created, row.account))
    owners: dict[str, str] = {}
    for row in mattering:
        for base in row.domains:
            owners.setdefault(host_of(urlsplit(base).netloc), row.account)
    owners.pop(host_of(urlsplit(own).netloc), None)
    private = [(row.account, row.privacy) for row in mattering if row.privacy]
    return Chosen(
        owners,
        frozenset(account for account, choices in private if choices.obey_signals),
        frozenset((account, mailing) for account, choices in private for mailing in choices.unregistered),
    )


def host_of(text: str) -> str:
    """The host of `host`, `host:port` or `[ip]:port`, in small letters, without a last dot."""
    host = text.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")
