"""An API key is shown once, and known again by its hash."""

from datetime import UTC, datetime

import msgspec
import pytest

from pipeline.console import accounts
from pipeline.model.accounts import Account, ApiKey

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_key_is_its_random_bytes() -> None:
    assert accounts.api_key(bytes(32)) == "lw_" + "A" * 43


def test_an_account_keeps_only_the_hash() -> None:
    key = accounts.api_key(b"\xff" * 32)
    account = accounts.created("acme", key, NOW)
    assert account == Account(account="acme", keys=[ApiKey(hash=accounts.hashed(key), created=NOW)], created=NOW)
    topic, name, value, *_ = accounts.row(account)
    assert (topic, name, msgspec.json.decode(value or b"", type=Account)) == ("accounts", b"acme", account)
    assert key.encode() not in (value or b"")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer lw_x", "lw_x"),
        ("bearer  lw_x ", "lw_x"),
        ("Basic lw_x", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("lw_x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_key_is_shown_as_bearer(header: str | None, key: str | None) -> None:
    assert accounts.bearer(header) == key


@pytest.mark.parametrize(
    ("key", "admin", "is_admin"),
    [("a", "a", True), ("b", "a", False), ("é", "a", False), ("", "", False), (None, "", False), (None, "a", False)],
)
def test_without_an_admin_key_nobody_is_admin(key: str | None, admin: str, *, is_admin: bool) -> None:
    assert accounts.is_admin(key, admin) is is_admin
