"""Who calls the API, and where: an account by its key, or the operator by the admin key."""

from typing import NamedTuple

from pipeline import keys
from pipeline.cli.mistakes import Mistake
from pipeline.settings import Settings

ACCOUNT_PREFIX = "lw_"  # what every account's key begins with (console/accounts.py)
GIVEN = "--key"
API_KEY = "LOOPWIRE_API_KEY"
ADMIN_KEY = "LOOPWIRE_ADMIN_KEY"


class Caller(NamedTuple):
    """The API's address, the key to show it, and where that key is from."""

    url: str
    key: str
    source: str


def account(settings: Settings, given: str) -> Caller:
    """The caller of an account's call: `--key`, else API_KEY. Mistake where there is neither."""
    if key := given or settings.api_key:
        return _caller(settings, key, GIVEN if given else API_KEY)
    only = " Only an admin key is at hand, which is no account's." if _admin_keys(settings) else ""
    raise Mistake(
        f"this needs the API key of an account: set {API_KEY}, or give {GIVEN}.{only} "
        "`loopwire accounts add NAME` makes an account and prints its key, once"
    )


def admin(settings: Settings, given: str) -> Caller:
    """The caller of an admin call: `--key`, else API_KEY where it is no account's, else the admin key at hand."""
    if given:
        return _caller(settings, given, GIVEN)
    if settings.api_key and not settings.api_key.startswith(ACCOUNT_PREFIX):
        return _caller(settings, settings.api_key, API_KEY)
    for key, source in _admin_keys(settings):
        return _caller(settings, key, source)
    raise Mistake(
        f"this needs the admin key: set {ADMIN_KEY}, or give {GIVEN}. "
        f"Where LOOPWIRE_KAFKA is empty, the first `loopwire up` makes one in {settings.data}"
    )


def _caller(settings: Settings, key: str, source: str) -> Caller:
    if not key.isascii() or not key.isprintable():
        raise Mistake(f"{source}: the key has a character that no key has")
    return Caller(settings.console_url, key, source)


def _admin_keys(settings: Settings) -> list[tuple[str, str]]:
    """The admin key that was set; the one in DATA is the local console's, so it goes nowhere else."""
    if settings.admin_key:
        return [(settings.admin_key, ADMIN_KEY)]
    made = "" if settings.api_url else keys.at_hand(settings, "admin_key")
    return [(made, str(settings.data / "admin_key"))] if made else []
