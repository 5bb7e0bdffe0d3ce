"""Loops as code: a file says which loops there should be; `apply` makes it so, `export` writes it from what is."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.loops import Yes, to_be_placed
from pipeline.cli.mistakes import Mistake
from pipeline.cli.screen import AsJson, Key, say, say_json, warn

if TYPE_CHECKING:
    from pipeline.cli.loops_file import Plan

# loops_file is imported where it is used: the API's forms take a while, and a stage's process is a command too.

app = typer.Typer()

File = Annotated[str, typer.Argument(metavar="FILE.yaml", help="A list of loops; `-` is stdin.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove loops that are not in the file.")]
UpdateHeaders = Annotated[
    bool,
    typer.Option("--update-headers", help="Send the headers' values again: those that are kept can't be compared."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")]


@app.command()
def apply(  # noqa: PLR0913, PLR0917 (options, each with a name)
    file: File,
    yes: Yes = False,
    prune: Prune = False,
    update_headers: UpdateHeaders = False,
    dry_run: DryRun = False,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Makes the account's loops those of a file: shows what it would do, asks on a terminal, does it.

    A loop is known by its name. Values of headers may be ${NAME}, taken from the environment.
    """
    from pipeline.cli import loops_file  # noqa: PLC0415

    wanted = loops_file.read(_text(file), file, os.environ)
    api = Api(caller.account(settings.read(), key))
    plan = loops_file.plan(wanted, api.call("GET", path("loops")), update_headers=update_headers)
    tell = warn if as_json else say
    for line in loops_file.drawn(plan, prune=prune):
        tell(line)
    count = len(plan.create) + len(plan.change) + (len(plan.absent) if prune else 0)
    if not count:
        tell("nothing to do")
    elif not dry_run and not yes and file != "-" and sys.stdin.isatty():
        typer.confirm(f"make these {count} changes?", abort=True, err=True)
    done: dict[str, Any] = {"created": [], "changed": [], "removed": [], "unchanged": [*map(_brief, plan.unchanged)]}
    done["absent"] = [_brief(loop) for loop in plan.absent if not prune]
    try:
        if not dry_run:
            _do(api, plan, done, prune=prune, quiet=as_json)
    finally:
        if as_json:  # also of what was done before a call failed: a secret is shown this once
            say_json(done)


@app.command()
def export(key: Key = "") -> None:
    """Writes a file for `apply` from the loops there are. Values of headers are kept sealed: it names variables."""
    from pipeline.cli import loops_file  # noqa: PLC0415

    loops = Api(caller.account(settings.read(), key)).call("GET", path("loops"))
    for name, count in Counter(loop["name"] for loop in loops).items():
        if count > 1:
            warn(f"{count} loops are called {name}: give each a name of its own before the file is applied")
    sys.stdout.write(loops_file.written(loops))
    sys.stdout.flush()


def _do(api: Api, plan: "Plan", done: dict[str, Any], *, prune: bool, quiet: bool) -> None:
    """One call a loop; each is told as soon as it is done."""
    for body in plan.create:
        loop = api.call("POST", path("loops"), body)
        done["created"].append(loop)
        if not quiet:
            say("")
            say(f"{loop['name']} is created: {loop['id']}")
            say(f"secret  {loop['secret']}  (shown this once: it checks the POSTs' signatures)")
            _say_file(loop)
    for change in plan.change:
        loop = api.call("PATCH", path("loops", change.loop["id"]), change.body)
        done["changed"].append(loop)
        if not quiet:
            say(f"{loop['name']} is changed: {loop['id']}")
            if "url" in change.body:
                _say_file(loop)
    for gone in plan.absent if prune else ():
        api.call("DELETE", path("loops", gone["id"]))
        done["removed"].append(_brief(gone))
        if not quiet:
            say(f"{gone['name']} is removed: {gone['id']}")


def _say_file(loop: dict[str, Any]) -> None:
    for line in to_be_placed(loop):
        say(line)


def _brief(loop: Any) -> dict[str, str]:  # noqa: ANN401 (JSON)
    return {"id": loop["id"], "name": loop["name"]}


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as failed:
        raise Mistake(f"{file}: {failed.strerror}") from failed
    except UnicodeDecodeError as wrong:
        raise Mistake(f"{file}: is not UTF-8") from wrong
