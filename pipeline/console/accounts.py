"""An account is made with its first API key: shown once, kept as a hash."""

import base64
import hashlib
import hmac
from datetime import datetime

import msgspec

from pipeline.model.accounts import Account, ApiKey
from pipeline.record import Record
from pipeline.topics import ACCOUNTS

KEY_BYTES = 32


def api_key(random: bytes) -> str:
    """An API key of 32 random bytes; the prefix lets scanners of leaked secrets know it."""
    return "lw_" + base64.urlsafe_b64encode(random).decode().rstrip("=")


def hashed(key: str) -> str:
    """An API key as it is kept and looked up: its SHA-256, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(authorization: str | None) -> str | None:
    """The key of an `Authorization: Bearer KEY` (RFC 6750 section 2.1); None where there is none."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def is_admin(key: str | None, admin_key: str) -> bool:
    """Whether `key` is the admin key; never, where there is no admin key."""
    return bool(admin_key) and hmac.compare_digest((key or "").encode(), admin_key.encode())


def created(name: str, key: str, now: datetime) -> Account:
    """A new account with one key."""
    return Account(account=name, keys=[ApiKey(hash=hashed(key), created=now)], created=now)


def row(account: Account) -> Record:
    """The account as a record."""
    return Record(ACCOUNTS, account.account.encode(), msgspec.json.encode(account))
