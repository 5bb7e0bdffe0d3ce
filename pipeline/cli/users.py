"""The people who sign in to the console: managed by the admin key."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.screen import AdminKey, AsJson, say, say_json, table, warn

app = typer.Typer(no_args_is_help=True, help="The people of an account who sign in to the console.")
Account = Annotated[str, typer.Argument(help="The account.", show_default=False)]
User = Annotated[str, typer.Argument(help="1 to 64 of A-Z, a-z, 0-9 and . _ @ + -", show_default=False)]
Prompt = Annotated[
    bool, typer.Option("--password", help="Ask for the password (or read it from stdin); else one is made.")
]


class Role(StrEnum):
    VIEWER = "viewer"
    EDITOR = "editor"


@app.command()
def add(
    account: Account,
    name: User,
    role: Annotated[Role, typer.Option(help="A viewer changes nothing.")] = Role.VIEWER,
    password: Prompt = False,
    key: AdminKey = "",
    as_json: AsJson = False,
) -> None:
    """Adds a user; without --password one is made, and printed this once."""
    body = {"name": name, "role": str(role)} | _asked(password)
    _say(_api(key).call("POST", path("accounts", account, "users"), body), as_json)


@app.command(name="list")
def list_(account: Account, key: AdminKey = "", as_json: AsJson = False) -> None:
    """The account's users."""
    known = _api(key).call("GET", path("accounts", account, "users"))
    if as_json:
        say_json(known)
    elif known:
        table(("user", "role", "created"), [(one["name"], one["role"], one["created_at"]) for one in known])
    else:
        warn(f"{account} has no users yet: `loopwire accounts users add {account} NAME --role editor` adds one")


@app.command()
def passwd(account: Account, name: User, password: Prompt = False, key: AdminKey = "", as_json: AsJson = False) -> None:
    """Gives a user another password, which signs them out everywhere."""
    _say(_api(key).call("POST", path("accounts", account, "users", name, "password"), _asked(password)), as_json)


@app.command()
def remove(account: Account, name: User, key: AdminKey = "") -> None:
    """Removes a user, who is signed out everywhere."""
    _api(key).call("DELETE", path("accounts", account, "users", name))
    say(f"removed {name} of {account}")


def _api(key: str) -> Api:
    return Api(caller.admin(settings.read(), key))


def _asked(prompt: bool) -> dict[str, Any]:
    """The password that was typed, never shown; where there is no terminal, the first line of stdin."""
    if not prompt:
        return {}
    if sys.stdin.isatty():
        return {"password": typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)}
    return {"password": sys.stdin.readline().rstrip("\n")}


def _say(user: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(user)
        return
    say(f"user      {user['name']}, {user['role']} of {user['account']}")
    if user["password"] is not None:
        say(f"password  {user['password']}  (shown this once: only its hash is kept)")
