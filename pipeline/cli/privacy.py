"""`loopwire privacy`: what is kept of an account's readers, by the account's choice."""

from typing import Annotated, Any

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.screen import AsJson, Key, say, say_json

app = typer.Typer(no_args_is_help=True, help="What is kept of readers: the account's choice.")

Obey = Annotated[
    bool | None,
    typer.Option(
        "--obey-signals/--ignore-signals",
        help="Keep no address and no user agent of readers who send Sec-GPC or DNT; both are recorded either way.",
        show_default=False,
    ),
]
Unregister = Annotated[
    list[str] | None, typer.Option("--unregister", metavar="MAILING", help="Register no opens and clicks of it, too.")
]
Register = Annotated[
    list[str] | None, typer.Option("--register", metavar="MAILING", help="Register opens and clicks of it again.")
]


@app.command()
def show(key: Key = "", as_json: AsJson = False) -> None:
    """What the account chose."""
    _say(Api(caller.account(settings.read(), key)).call("GET", path("privacy")), as_json)


@app.command(name="set")
def set_(
    obey: Obey = None, unregister: Unregister = None, register: Register = None, key: Key = "", as_json: AsJson = False
) -> None:
    """Changes what is named and leaves the rest. Capture knows of it about a second later."""
    api = Api(caller.account(settings.read(), key))
    now = api.call("GET", path("privacy"))
    named = dict.fromkeys([*now["unregistered"], *(unregister or [])])
    wish = {
        "obey_signals": now["obey_signals"] if obey is None else obey,
        "unregistered": [mailing for mailing in named if mailing not in (register or [])],
    }
    _say(api.call("PUT", path("privacy"), wish), as_json)


def _say(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(shown)
        return
    say(f"Sec-GPC and DNT  {'obeyed' if shown['obey_signals'] else 'recorded'}")
    say(f"not registered   {', '.join(shown['unregistered']) or 'none'}")
