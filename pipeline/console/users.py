"""Who may sign in to the console: the users of an account, and the account's own key."""

import base64
import hashlib
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from pipeline.console.shown import UserMade, UserShown
from pipeline.model.accounts import Account, Role, User

PASSWORD_BYTES = 15  # 120 bits: 24 characters of base32
FINGERPRINT = 32  # hex digits, 128 bits


class Credential(NamedTuple):
    """What one is by a sign-in, and the fingerprint of what it was made with."""

    role: Role
    fingerprint: str


def password(random: bytes) -> str:
    """A password to be written down: 15 random bytes as six groups of four letters and digits."""
    text = base64.b32encode(random).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def find(account: Account | None, name: str) -> User | None:
    """The account's user of that name."""
    return next((one for one in account.users if one.name == name), None) if account else None


def added(account: Account, user: User) -> Account:
    """The account with the user, in the place of one of the same name."""
    return replace(account, users=[*(one for one in account.users if one.name != user.name), user])


def removed(account: Account, name: str) -> Account:
    """The account without the user."""
    return replace(account, users=[one for one in account.users if one.name != name])


def made(name: str, role: Role, hashed: str, now: datetime) -> User:
    """A new user."""
    return User(name=name, role=role, password=hashed, created=now)


def credentials(account: Account | None, user: str | None) -> list[Credential]:
    """Each role and fingerprint by which one is signed in now: as the user, or by one of the account's keys.

    A fingerprint changes with the password and with the role, so a session that holds an old one is over.
    """
    if account is None:
        return []
    if user is None:
        return [key_credential(account.account, key.hash) for key in account.keys]
    found = find(account, user)
    return [user_credential(account.account, found)] if found else []


def key_credential(account: str, key_hash: str) -> Credential:
    """Of a sign-in by an API key, which may do everything."""
    return Credential("editor", _digest(account, "", key_hash))


def user_credential(account: str, user: User) -> Credential:
    """Of a sign-in as a user."""
    return Credential(user.role, _digest(account, user.role, user.password))


def operator_credential(admin_key: str) -> Credential:
    """Of a sign-in by the admin key, which sees the installation and nothing of an account."""
    return Credential("viewer", _digest("operator", hashlib.sha256(admin_key.encode()).hexdigest()))


def shown(account: str, user: User) -> UserShown:
    """The user, for who manages them."""
    return UserShown(account=account, name=user.name, role=user.role, created_at=user.created)


def shown_once(account: str, user: User, new: str | None) -> UserMade:
    """The user with the password that was made for them."""
    return UserMade(password=new, **dict(shown(account, user)))


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:FINGERPRINT]
