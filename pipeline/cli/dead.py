"""`loopwire dead`: what was given up is listed, shown, sent once more or forgotten."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.loops import Cursor, Limit, Recipient, Since, Type, Until, Yes
from pipeline.cli.mistakes import Mistake, Refused
from pipeline.cli.moments import moment
from pipeline.cli.rates import a_second
from pipeline.cli.screen import AsJson, Key, console, say, say_json, table, warn
from pipeline.cli.sent import asked_path, dead_row

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Dead letters: deliveries that were given up.")

NOT_FOUND = 404
COLUMNS = ("at", "loop", "delivery", "type", "recipient", "attempts", "reason")

LoopOption = Annotated[str, typer.Option("--loop", metavar="ID", help="Of this loop.")]
OneLoop = Annotated[str, typer.Option("--loop", metavar="ID", help="Of this loop; else it is looked for in all.")]
Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, the `webhook-id` of its POSTs.")]
Deliveries = Annotated[list[str] | None, typer.Argument(metavar="[DELIVERY]...", help="These alone, by their ids.")]
Reason = Annotated[str, typer.Option("--reason", help="Whose reason has these words in it: 'answered 500', 410, ...")]
All = Annotated[bool, typer.Option("--all", help="All of the loop.")]
Rate = Annotated[str, typer.Option("--rate", metavar="N/s", help="At most so many a second. Without: 200.")]


@app.command(name="list")
def list_(  # noqa: PLR0913, PLR0917 (options, each with a name)
    loop: LoopOption = "",
    since: Since = "",
    until: Until = "",
    reason: Reason = "",
    type_: Type = "",
    recipient: Recipient = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """The newest first; without --loop those of all loops of the account."""
    api = _api(key)
    asked = _filters(since, until, reason, type_, recipient)
    if cursor and not loop:
        raise Mistake("--cursor leads on in the list of one loop: say which by --loop")
    pages = [
        api.call("GET", asked_path(path("loops", one, "dead"), asked | {"limit": str(limit), "cursor": cursor}))
        for one in ([loop] if loop else _loops(api))
    ]
    rows = sorted((one for page in pages for one in page["dead"]), key=lambda one: str(one["at"]), reverse=True)
    total, then = sum(page["total"] for page in pages), pages[0]["next_cursor"] if loop else None
    if as_json:
        say_json({"dead": rows[:limit], "total": total, "next_cursor": then})
    elif rows:
        table(COLUMNS, [dead_row(one) for one in rows[:limit]])
        if total > len(rows[:limit]):
            warn(f"there are {total:,}" + (f": --cursor {then} leads on" if then else "; --loop and --cursor lead on"))
    else:
        warn("there are no such dead letters")


@app.command()
def show(delivery: Delivery, loop: OneLoop = "", key: Key = "", as_json: AsJson = False) -> None:
    """One dead letter whole: its reason, its failed attempts, the event it was to tell."""
    api = _api(key)
    letter = _find(api, delivery, [loop] if loop else _loops(api))
    if as_json:
        say_json(letter)
        return
    for name in ("delivery", "loop", "at", "reason", "type", "recipient", "profile", "message", "event"):
        if letter[name] is not None:
            say(f"{name:<10} {letter[name]}")
    for one in letter["history"]:
        say(f"attempt {one['attempt']:<3}{one['at']}  {one['error']}")
    if letter["content"] is not None:
        say_json(letter["content"])


@app.command()
def redrive(  # noqa: PLR0913, PLR0917 (options, each with a name)
    deliveries: Deliveries = None,
    loop: LoopOption = "",
    since: Since = "",
    until: Until = "",
    reason: Reason = "",
    type_: Type = "",
    recipient: Recipient = "",
    every: All = False,
    rate: Rate = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Sends them once more, under their ids: those named, those that fit, or --all of the loop.

    They enter at the first retry topic, at a capped pace, and climb the whole ladder again if they fail.
    """
    wish = _wish(loop, deliveries, _filters(since, until, reason, type_, recipient), every)
    more: dict[str, Any] = {"rate": a_second(rate)} if rate else {}
    done, left = _work(_api(key), path("loops", loop, "dead", "redrive"), wish | more, "redriven", as_json)
    if as_json:
        say_json({"redriven": done, "left": left})
    else:
        say(f"{done:,} on the way again" + (f", {left:,} can't be read and stay" if left else ""))
    _check_all(loop, deliveries, done + left)


@app.command()
def purge(  # noqa: PLR0913, PLR0917 (options, each with a name)
    deliveries: Deliveries = None,
    loop: LoopOption = "",
    since: Since = "",
    until: Until = "",
    reason: Reason = "",
    type_: Type = "",
    recipient: Recipient = "",
    every: All = False,
    yes: Yes = False,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Forgets them for good: those named, those that fit, or --all of the loop. On a terminal it asks first."""
    filters = _filters(since, until, reason, type_, recipient)
    wish, api = _wish(loop, deliveries, filters, every), _api(key)
    if not yes and sys.stdin.isatty():
        count = len(deliveries) if deliveries else _count(api, loop, filters)
        typer.confirm(f"forget {count:,} dead letters of {loop} for good?", abort=True, err=True)
    body = wish | ({"all": True} if every else {})
    done, left = _work(api, path("loops", loop, "dead", "purge"), body, "purged", as_json)
    if as_json:
        say_json({"purged": done, "left": left})
    else:
        say(f"{done:,} purged")
    _check_all(loop, deliveries, done + left)


def _work(api: Api, where: str, wish: Mapping[str, Any], word: str, as_json: bool) -> tuple[int, int]:
    """Asks again while there is something left, with a bar on a terminal; how many were done, how many stay."""
    done = 0
    with _bar(as_json) as bar:
        task = bar.add_task(word, total=None) if bar else None
        while True:
            said = api.call("POST", where, wish)
            done += said[word]
            if bar and task is not None:
                bar.update(task, completed=done, total=done + said["left"])
            if not said["left"] or not said[word]:
                return done, int(said["left"])


def _check_all(loop: str, deliveries: Sequence[str] | None, found: int) -> None:
    """Mistake where fewer were found than were named."""
    if missing := max(len(set(deliveries or ())) - found, 0):
        raise Mistake(f"{missing:,} of those named: {loop} has no such dead letter, or the filters leave it out")


@contextmanager
def _bar(as_json: bool) -> "Iterator[Progress | None]":
    screen = console(stderr=True)
    if as_json or not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        yield bar


def _wish(loop: str, deliveries: Sequence[str] | None, filters: Mapping[str, str], every: bool) -> dict[str, Any]:
    """What the API is asked; Mistake where it is not said which."""
    if not loop:
        raise Mistake("--loop: say which loop; `loopwire loops list` shows them")
    given = {name: value for name, value in filters.items() if value}
    chosen = given | ({"deliveries": list(deliveries)} if deliveries else {})
    if bool(chosen) == every:
        raise Mistake("say which: ids, filters such as --reason and --type, or --all" + (" alone" if every else ""))
    return chosen


def _filters(since: str, until: str, reason: str, type_: str, recipient: str) -> dict[str, str]:
    now = datetime.now(UTC)
    span = {"from": since, "to": until}
    times = {name: moment(text, f"--{name}", now).isoformat() if text else "" for name, text in span.items()}
    return times | {"reason": reason, "type": type_, "recipient": recipient}


def _count(api: Api, loop: str, filters: Mapping[str, str]) -> int:
    return int(api.call("GET", asked_path(path("loops", loop, "dead"), {**filters, "limit": "1"}))["total"])


def _find(api: Api, delivery: str, loops: Sequence[str]) -> dict[str, Any]:
    for loop in loops:
        try:
            found: dict[str, Any] = api.call("GET", path("loops", loop, "dead", delivery))
        except Refused as wrong:
            if wrong.status != NOT_FOUND or len(loops) == 1:
                raise
        else:
            return found
    raise Mistake(f"no loop has a dead letter {delivery}")


def _loops(api: Api) -> list[str]:
    return [loop["id"] for loop in api.call("GET", path("loops"))]


def _api(key: str) -> Api:
    return Api(caller.account(settings.read(), key), patient=False)
