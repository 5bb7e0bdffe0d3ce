"""Where the store is: SQLite in DATA unless told otherwise, and never a password in a log."""

from pathlib import Path

import pytest

from pipeline.console.store import url as module
from pipeline.console.store.url import database_url, shown
from pipeline.settings import SettingsError, read


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "sqlite:///d/console.db"),
        ("sqlite:///other.db", "sqlite:///other.db"),
        ("sqlite:////var/lib/loopwire.db", "sqlite:////var/lib/loopwire.db"),
        ("postgresql://u:hunter2@db:5433/x?sslmode=require", "postgresql://u:***@db:5433/x"),
        ("postgresql:///x?host=/run/postgresql", "postgresql:///x"),
    ],
)
def test_an_address_and_how_it_is_shown(given: str, address: str) -> None:
    assert shown(database_url(read(database_url=given, data=Path("d")))) == address


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRIVER", "no_such_driver")
    assert database_url(read(data=Path("d"))).database == "d/console.db"
    with pytest.raises(SettingsError) as refused:
        database_url(read(database_url="postgresql://u:hunter2@db/x"))
    assert str(refused.value) == (
        "LOOPWIRE_DATABASE_URL: PostgreSQL needs its driver: pip install 'loopwire[postgres]'"
    )


def test_a_port_that_is_none_is_named_without_the_password() -> None:
    with pytest.raises(SettingsError) as refused:
        database_url(read(database_url="postgresql://u:hunter2@db:port/x"))
    assert "LOOPWIRE_DATABASE_URL: can't be read" in str(refused.value)
    assert "hunter2" not in str(refused.value)
