"""`loopwire replay`: past events are sent again to a loop, with a progress bar until the last of them was."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.loops import Mailings, Tags, words
from pipeline.cli.mistakes import Mistake
from pipeline.cli.moments import moment
from pipeline.cli.rates import a_second
from pipeline.cli.screen import AsJson, Key, console, say, say_json, table, warn

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer()

GLANCE_SECONDS = 0.3
UNFINISHED = frozenset({"queued", "running"})

LoopOption = Annotated[str, typer.Option("--loop", metavar="ID", help="Who is sent them.")]
From = Annotated[
    str, typer.Option("--from", help="Events written then or later: 2026-03-20T09:00:00Z, 2026-03-20, 2h ago.")
]
To = Annotated[str, typer.Option("--to", help="And before then.")]
Types = Annotated[list[str], typer.Option("--type", help="Only these types of the loop's: open, click, ...")]
Profiles = Annotated[list[str], typer.Option("--profile", help="Only these profiles' events.")]
RateOption = Annotated[str, typer.Option("--rate", metavar="N/s", help="At most so many a second. Without: 200.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count them, send nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")]
Cancel = Annotated[str, typer.Option("--cancel", metavar="REPLAY", help="Stop this replay instead.")]
Follow = Annotated[str, typer.Option("--follow", metavar="REPLAY", help="Watch this replay instead.")]
List = Annotated[bool, typer.Option("--list", help="Show the loop's replays instead.")]


@app.command()
def replay(  # noqa: PLR0913, PLR0917 (options, each with a name)
    loop: LoopOption = "",
    from_: From = "",
    to: To = "now",
    types: Types = [],  # noqa: B006 (typer copies it)
    mailings: Mailings = [],  # noqa: B006
    tags: Tags = [],  # noqa: B006
    profiles: Profiles = [],  # noqa: B006
    rate: RateOption = "",
    dry_run: DryRun = False,
    detach: Detach = False,
    cancel: Cancel = "",
    follow: Follow = "",
    list_: List = False,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Sends past events again to a loop, under the ids they had. What happens now goes first.

    Ctrl-C stops watching, not the replay: `--follow` watches on, `--cancel` stops it. Exits 1 where it failed.
    """
    api = Api(caller.account(settings.read(), key))
    if cancel:
        _say(api.call("DELETE", path("replays", cancel)), as_json)
        return
    if follow:
        _until_its_end(api, api.call("GET", path("replays", follow)), as_json)
        return
    if not loop:
        raise Mistake("--loop: say which loop; `loopwire loops list` shows them")
    if list_:
        _list(api.call("GET", path("loops", loop, "replays")), as_json)
        return
    if not from_:
        raise Mistake("--from: say since when, such as 2026-03-20T09:00:00Z or 2h ago")
    now = datetime.now(UTC)
    wish: dict[str, object] = {
        "from": moment(from_, "--from", now).isoformat(),
        "to": moment(to, "--to", now).isoformat(),
        "types": words(types),
        "mailings": words(mailings),
        "tags": tags,  # one may hold a comma
        "profiles": words(profiles),
        "dry_run": dry_run,
    }
    asked = api.call("POST", path("loops", loop, "replays"), wish | ({"rate": a_second(rate)} if rate else {}))
    if detach:
        _say(asked, as_json)
    else:
        _until_its_end(api, asked, as_json)


def _until_its_end(api: Api, shown: dict[str, Any], as_json: bool) -> None:
    """Waits for the replay's end, with a bar on a terminal."""
    with _bar(as_json) as bar:
        task = bar.add_task(shown["id"], total=1.0) if bar else None
        try:
            while shown["state"] in UNFINISHED:
                time.sleep(GLANCE_SECONDS)
                shown = api.call("GET", path("replays", shown["id"]))
                if bar and task is not None:
                    bar.update(task, completed=shown["progress"], description=_told(shown))
        except KeyboardInterrupt:
            warn(f"{shown['id']} goes on: `loopwire replay --cancel {shown['id']}` stops it")
            raise SystemExit(130) from None
    _say(shown, as_json)
    if shown["state"] == "failed":
        raise SystemExit(1)


@contextmanager
def _bar(as_json: bool) -> "Iterator[Progress | None]":
    screen = console(stderr=True)
    if as_json or not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        yield bar


def _told(shown: dict[str, Any]) -> str:
    if shown["dry_run"]:
        return f"{shown['matched']:,} counted"
    return f"{shown['sent']:,} sent" if shown["state"] == "running" else str(shown["reason"] or shown["state"])


def _say(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(shown)
        return
    reason = f" ({shown['reason']})" if shown["reason"] else ""
    count = f"{shown['matched']:,} would be sent" if shown["dry_run"] else f"{shown['sent']:,} sent"
    say(f"{shown['id']} is {shown['state']}{reason}: {count}")


def _list(replays: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        say_json(replays)
    elif replays:
        columns = ("id", "state", "from", "to", "sent", "progress")
        table(columns, [_row(one) for one in replays])
    else:
        warn("the loop has had no replays in the last 30 days")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    sent = f"{one['matched']:,} counted" if one["dry_run"] else f"{one['sent']:,}"
    return one["id"], one["state"], one["from"], one["to"], sent, f"{one['progress']:.0%}"
