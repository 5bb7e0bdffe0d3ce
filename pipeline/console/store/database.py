"""The database's door: one connection that records, a few threads that read, and the migration before all."""

import asyncio
import fcntl
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from pipeline.console.console import StoreAwayError
from pipeline.console.store.schema import REVISION
from pipeline.console.store.trouble import reason
from pipeline.console.store.url import shown

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

READERS = 4
BUSY_SECONDS = 5.0  # how long SQLite waits for whoever writes
BETWEEN_SECONDS = 0.01
GLANCE_SECONDS = 0.05
QUESTION_MS = 10_000
MIGRATES, RECORDS = 0x6C6F_6F70_0001, 0x6C6F_6F70_0002  # advisory locks of PostgreSQL: "loop" and a number
# A connection that went away without a word is noticed within half a minute.
TO_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "loopwire-console",
}


class Database:
    """SQLite or PostgreSQL, as the address says."""

    def __init__(self, url: URL) -> None:
        self.shown = shown(url)
        self._file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        more: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
        if self._file is None:
            more = {"connect_args": TO_POSTGRES, "pool_pre_ping": True}
        self._writer = sql.create_engine(url, **more, poolclass=NullPool)
        self._reader = sql.create_engine(url, **more, pool_size=READERS, max_overflow=0, pool_timeout=BUSY_SECONDS)
        _prepare(self._writer, "BEGIN IMMEDIATE")
        _prepare(self._reader, "BEGIN")
        self._threads = ThreadPoolExecutor(READERS, "store")
        self._said: set[str] = set()

    async def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """The answer to a question, on a thread of its own. StoreAwayError where the database gives none."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)

    async def until(self, condition: Callable[[Connection], bool], seconds: float) -> bool:
        """Whether it came true within that time. StoreAwayError where the database gives no answer."""
        deadline = time.monotonic() + seconds
        while True:
            if await self.ask(condition):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(GLANCE_SECONDS)

    @contextmanager
    def recording(self) -> Iterator[Connection | None]:
        """The connection that may record, migrated; None where another console has it.

        On PostgreSQL the right to record is the connection's own, so that it ends with it. A database that can't be
        used raises what SQLAlchemy raises, or OSError.
        """
        with self._file_lock() as free:
            if not free:
                yield None
                return
            with self._writer.connect() as connection:
                with connection.begin():
                    migrate(connection)
                with connection.begin():
                    alone = _may_record(connection)
                yield connection if alone else None

    def close(self) -> None:
        """Answers no more questions."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reader.dispose()
        self._writer.dispose()

    def _answer(self, question: Callable[[Connection], Answer]) -> Answer:
        try:
            with self._reader.connect() as connection:
                answer = question(connection)
        except (OperationalError, InterfaceError, ProgrammingError, PoolTimeoutError) as failed:
            self._say(reason(failed))
            raise StoreAwayError(reason(failed)) from failed
        self._said.clear()
        return answer

    def _say(self, cause: str) -> None:
        """Once for each cause, until there are answers again: whoever asks, asks again."""
        if cause not in self._said:
            log.warning("%s gives no answer: %s", self.shown, cause)
        self._said.add(cause)

    @contextmanager
    def _file_lock(self) -> Iterator[bool]:
        """SQLite's consoles: one of those that share the file. It, and what stands beside it, is its owner's alone."""
        if self._file is None:
            yield True
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.touch(0o600)
        with self._file.with_name(self._file.name + ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def migrate(connection: Connection) -> None:
    """Brings the tables to REVISION, in the transaction that is open on the connection; others wait for it."""
    if connection.dialect.name == "postgresql":
        connection.execute(sql.select(sql.func.pg_advisory_xact_lock(MIGRATES)))
    if _revision(connection) == REVISION:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its plugins when it is imported
    # Imported when there is something to do, which is once in a store's life: it takes 10 MB.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    log.info("the store is at revision %s", REVISION)


def _revision(connection: Connection) -> str | None:
    if not sql.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sql.text("SELECT version_num FROM alembic_version"))
    return found


def _may_record(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(sql.select(sql.func.pg_try_advisory_lock(RECORDS))))


def _prepare(engine: Engine, begin: str) -> None:
    """Sets each connection up; SQLite's driver would begin and commit by its own rules, and not for DDL."""
    is_sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:  # noqa: ANN401 (the driver's)
        if is_sqlite:
            connection.isolation_level = None
            _journal(connection)
            for pragma in ("synchronous=NORMAL", "journal_size_limit=67108864"):
                connection.execute(f"PRAGMA {pragma}")
        elif begin == "BEGIN":
            connection.execute(f"SET statement_timeout = {QUESTION_MS}")
            connection.commit()

    if is_sqlite:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))


def _journal(connection: sqlite3.Connection) -> None:
    """A new file becomes one with a write-ahead log; SQLite itself does not wait with this step for others."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
        time.sleep(BETWEEN_SECONDS)
