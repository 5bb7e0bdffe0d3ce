"""An account is one sender: what it owns is seen by nobody else."""

from datetime import datetime
from typing import Literal

import msgspec


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key as we keep it: its SHA-256 in hex. The key is 32 random bytes, so no slow hash is needed."""

    hash: str
    created: datetime


Role = Literal["viewer", "editor"]


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person who signs in to the console. `password` is an Argon2id hash; a viewer changes nothing."""

    name: str
    role: Role
    password: str
    created: datetime


class Choices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account decides of its readers' privacy.

    `obey_signals`: of who sends Sec-GPC or DNT neither the address nor the user agent is kept. `unregistered`: mailings
    whose opens and clicks are no hits.
    """

    obey_signals: bool = False
    unregistered: list[str] = []


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the compacted topic `accounts`. `domains` are bases of its tracking links, the first of new ones."""

    account: str
    keys: list[ApiKey]
    created: datetime
    users: list[User] = []
    domains: list[str] = []
    privacy: Choices | None = None
