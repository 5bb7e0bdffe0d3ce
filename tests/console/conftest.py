"""The databases a store may be in: each test that asks for one is run on both."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.postgres import Postgres, programs

MISSING = "PostgreSQL is not installed: `make test` installs it as root, else: apt-get install postgresql"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server. Where CI is set, it has to be there."""
    where = programs()
    if where is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = Postgres(where)
    yield server
    server.destroy()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A new, empty database."""
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "console.db"))
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()
