"""Accounts: added by the API, listed from their topic, and the key a sender signs links with."""

import base64
from typing import Annotated

import msgspec
import typer

from pipeline import keys, settings
from pipeline.cli import caller, users
from pipeline.cli.api import Api, path
from pipeline.cli.mistakes import Mistake
from pipeline.cli.screen import AdminKey, AsJson, say, say_json, table, warn
from pipeline.model.accounts import Account
from pipeline.model.ids import is_account
from pipeline.settings import Settings, SettingsError
from pipeline.topics import ACCOUNTS

app = typer.Typer(no_args_is_help=True, help="Accounts, their keys and users.")
app.add_typer(users.app, name="users")
Name = Annotated[str, typer.Argument(help="1 to 40 of a-z, 0-9 and -; it is the account's id.", show_default=False)]

Domains = Annotated[
    list[str] | None, typer.Argument(metavar="DOMAIN", help="t.shop.example, or with another scheme than https.")
]
NoDomains = Annotated[bool, typer.Option("--none", help="Take all domains away.")]


@app.command()
def add(name: Name, key: AdminKey = "", as_json: AsJson = False) -> None:
    """Makes an account and prints its API key, once: we keep only its hash."""
    made = Api(caller.admin(settings.read(), key)).call("POST", path("accounts"), {"name": name})
    if as_json:
        say_json(made)
        return
    say(f"account  {made['account']}")
    say(f"API key  {made['api_key']}  (shown this once: keep it, in LOOPWIRE_API_KEY for instance)")


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """All accounts, as the topic `accounts` has them: this asks Kafka, not the API."""
    known = _known(settings.read())
    if as_json:
        say_json([{"account": one.account, "created": _time(one), "keys": len(one.keys)} for one in known])
    elif known:
        table(("account", "created", "keys"), [(one.account, _time(one), str(len(one.keys))) for one in known])
    else:
        warn("there are no accounts yet: `loopwire accounts add NAME` makes one")


@app.command()
def domains(
    name: Name, domain: Domains = None, none: NoDomains = False, key: AdminKey = "", as_json: AsJson = False
) -> None:
    """Shows the account's own domains for tracking links; sets them where some are given, the first for new links.

    Each must lead to capture, which sees its name in the header Host, and takes no other account's tokens there.
    """
    api, place = Api(caller.admin(settings.read(), key)), path("accounts", name, "domains")
    if domain and none:
        raise Mistake("give domains or --none")
    wish = {"domains": domain or []}
    shown = api.call("PUT", place, wish) if domain or none else api.call("GET", place)
    if as_json:
        say_json(shown)
    elif shown["domains"]:
        for one in shown["domains"]:
            say(one)
    else:
        warn(f"{name} has no domain of its own: its links lead where everybody's do")


@app.command(name="key")
def key_(name: Name, as_json: AsJson = False) -> None:
    """The account's token key, `kid:base64`, for a sender who signs tracking links by itself.

    It is derived from LOOPWIRE_TOKEN_KEYS (or the keys in DATA) and can sign for no other account; whether there is
    such an account is asked of Kafka. docs/links.md shows its use from Python; the format of tokens is described in
    pipeline/capture/tokens.py.
    """
    from pipeline.capture.tokens import signing_key  # noqa: PLC0415

    if not is_account(name):
        raise Mistake("an account's name is 1 to 40 of a-z, 0-9 and -")
    read = settings.read()
    kid, derived = signing_key(_token_keys(read), name)
    if name not in {one.account for one in _known(read)}:
        raise Mistake(f"there is no account {name}: `loopwire accounts list` shows those there are")
    text = base64.b64encode(derived).decode()
    if as_json:
        say_json({"account": name, "kid": kid, "key": text})
    else:
        say(f"{kid}:{text}")


def _known(read: Settings) -> list[Account]:
    from pipeline.kafka.client import Cluster  # noqa: PLC0415
    from pipeline.kafka.mirror import Mirror  # noqa: PLC0415

    rows: dict[bytes, bytes] = {}

    def put(_partition: int, account: bytes, value: bytes | None) -> None:
        rows.pop(account, None)
        if value is not None:
            rows[account] = value

    kafka = Cluster(read)
    kafka.partitions([ACCOUNTS])  # where nobody answers this says so, in one line; a reader would go on trying
    mirror = Mirror(kafka, {ACCOUNTS: put})
    try:
        mirror.follow_all([ACCOUNTS])
        mirror.catch_up()
    finally:
        mirror.close()
    return sorted(filter(None, map(_account, rows.items())), key=lambda one: one.account)


def _account(row: tuple[bytes, bytes]) -> Account | None:
    try:
        return msgspec.json.decode(row[1], type=Account)
    except msgspec.MsgspecError as wrong:
        warn(f"{ACCOUNTS}: the record of {row[0]!r} can't be read: {wrong}")
        return None


def _token_keys(read: Settings) -> dict[str, bytes]:
    """TOKEN_KEYS as set or made before: none is made here, it would be nobody's."""
    if not read.kafka and not keys.at_hand(read, "token_keys"):
        raise SettingsError(
            f"LOOPWIRE_TOKEN_KEYS: is not set, and there is no {read.data / 'token_keys'}: "
            "set what capture and console have, or LOOPWIRE_DATA"
        )
    return keys.link_keys(read)


def _time(account: Account) -> str:
    return account.created.isoformat(timespec="seconds").replace("+00:00", "Z")
