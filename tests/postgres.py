"""A real PostgreSQL for the run: Debian's programs, in a folder of its own, as a user that may not be root."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text

from tests.conftest import free_port

DEBIAN = Path("/usr/lib/postgresql")
OWNER = "postgres"  # made by Debian's package
START_SECONDS = "60"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, the newest there is; None where PostgreSQL is not installed."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    known = shutil.which("initdb")
    return Path(known).resolve().parent if known else None


class Postgres:
    """A server on a port of its own, without fsync: no test pulls the plug of the machine."""

    def __init__(self, where: Path) -> None:
        self._programs = where
        self._home = Path(tempfile.mkdtemp(prefix="loopwire-postgres-"))  # short: the socket's path has a limit
        self._data = self._home / "data"
        self.port = free_port()
        self._user = OWNER if os.geteuid() == 0 else None
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(self._home, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "--auth=trust", "--username=loopwire", "--encoding=UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._home} -c fsync=off"
        log = str(self._home / "log")
        self._run("pg_ctl", "start", "--wait", "--timeout", START_SECONDS, "--log", log, "--options", options)

    def stop(self) -> None:
        """Stops it at once, whoever is connected."""
        self._run("pg_ctl", "stop", "--wait", "--mode", "immediate")

    def destroy(self) -> None:
        """Stops it for good."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def database(self) -> URL:
        """A new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def _url(self, name: str) -> URL:
        return make_url(f"postgresql+psycopg://loopwire@127.0.0.1:{self.port}/{name}")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), "--pgdata", str(self._data), *words]
        ended = subprocess.run(
            command,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{program}: {ended.stderr}"
