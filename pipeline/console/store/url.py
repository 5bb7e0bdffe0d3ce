"""Where the store is: LOOPWIRE_DATABASE_URL as SQLAlchemy reads it, or the file in DATA."""

from importlib.util import find_spec

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipeline.settings import Settings, SettingsError

FILE = "console.db"
DRIVER = "psycopg"  # version 3


def database_url(settings: Settings) -> URL:
    """The address of the database; SettingsError where it can't be read, or its driver is not installed."""
    if not settings.database_url:
        return URL.create("sqlite", database=str(settings.data / FILE))
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError):  # its message may hold the password
        raise SettingsError("LOOPWIRE_DATABASE_URL: can't be read: is there a character to be escaped?") from None
    if url.get_backend_name() == "sqlite":
        return url
    if find_spec(DRIVER) is None:
        raise SettingsError("LOOPWIRE_DATABASE_URL: PostgreSQL needs its driver: pip install 'loopwire[postgres]'")
    return url.set(drivername=f"postgresql+{DRIVER}")


def shown(url: URL) -> str:
    """The address as a log may have it: no password, nor what stands behind the question mark."""
    return str(url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True))
