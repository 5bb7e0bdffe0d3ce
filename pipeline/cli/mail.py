"""`loopwire mail read`: complaints and delivery reports, as mail servers send them, become hits."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec
import typer

from pipeline import settings
from pipeline.cli import caller, reports, whose
from pipeline.cli.api import NDJSON, Api, path
from pipeline.cli.mailboxes import Letter, letters
from pipeline.cli.mistakes import Mistake
from pipeline.cli.reports import Line, NoNewsError
from pipeline.cli.screen import AsJson, Key, say, say_json, warn
from pipeline.cli.whose import Ways

app = typer.Typer(no_args_is_help=True, help="Complaints and delivery reports that mail servers send back.")
AT_ONCE = 200  # messages
SHOWN = 20
HEADERS = ",".join(Ways().headers)

Sources = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="A message, an mbox, a maildir; - is a message on stdin.", show_default=False),
]
Verp = Annotated[
    str,
    typer.Option(
        "--verp", metavar="PATTERN", help="The address they come to: bounce+{mailing}+{profile}@shop.example, say."
    ),
]
Names = Annotated[str, typer.Option("--headers", help="Headers of your mails that hold profile, mailing and message.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the new messages of a maildir where they are.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the hits, a JSON object a line, and send none.")]


class Read(NamedTuple):
    """A message and the hits it tells of, or why it tells of none."""

    letter: Letter
    lines: list[Line]
    why: str = ""


class Tally(msgspec.Struct):
    """What became of all messages."""

    messages: int = 0
    accepted: int = 0
    rejected: list[tuple[str, str]] = []
    ignored: list[tuple[str, str]] = []


@app.command()
def read(  # noqa: PLR0913, PLR0917 (options, each with a name)
    sources: Sources,
    verp: Verp = "",
    names: Names = HEADERS,
    keep: Keep = False,
    dry_run: DryRun = False,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Reads complaints (ARF, RFC 5965) and delivery reports (DSN, RFC 3464) and tells the API of them.

    A complaint is an abuse, a delivery that failed a bounce and a failure, one that is late a bounce.
    Whose mail it was is told by a tracking link in the mail that was sent back, else by its headers, else by the
    address the report came to (--verp). New messages of a maildir are moved to its cur/ once the API has their hits.
    Exits 1 where a hit was rejected; a message that tells nothing is no mistake.
    """
    ways = _ways(verp, names)
    found = (_read(letter, ways) for source in sources for letter in letters(source))
    if dry_run:
        _show(found)
        return
    api = Api(caller.account(settings.read(), key))
    tally = Tally()
    for batch in _batches(found):
        _send(api, batch, tally)
        for one in batch:
            if not keep:
                one.letter.put_away(told=bool(one.lines))
    _conclude(tally, as_json)


def _ways(verp: str, names: str) -> Ways:
    words = [word.strip() for word in names.split(",")]
    if len(words) != len(whose.WORDS) or not all(word.isascii() and word.isprintable() for word in words):
        raise Mistake(f"--headers: must be three names, as {HEADERS}")
    try:
        return Ways((words[0], words[1], words[2]), whose.pattern(verp) if verp else None)
    except ValueError as wrong:
        raise Mistake(f"--verp: {wrong}") from wrong


def _read(letter: Letter, ways: Ways) -> Read:
    try:
        return Read(letter, reports.read(letter.data, ways, datetime.now(UTC)))
    except NoNewsError as why:
        return Read(letter, [], str(why))


def _show(found: Iterable[Read]) -> None:
    for one in found:
        for line in one.lines:
            say(msgspec.json.encode(line).decode())
        if one.why:
            warn(f"{one.letter.name}: {one.why}")


def _batches(found: Iterable[Read]) -> Iterator[list[Read]]:
    batch: list[Read] = []
    for one in found:
        batch.append(one)
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _send(api: Api, batch: list[Read], tally: Tally) -> None:
    lines = [(one.letter.name, line) for one in batch for line in one.lines]
    tally.messages += len(batch)
    tally.ignored += [(one.letter.name, one.why) for one in batch if one.why]
    if not lines:
        return
    answer = api.send("POST", path("hits"), b"\n".join(msgspec.json.encode(line) for _, line in lines) + b"\n", NDJSON)
    tally.accepted += answer["accepted"]
    tally.rejected += [(lines[one["line"] - 1][0], one["error"]) for one in answer["rejected"]]


def _conclude(tally: Tally, as_json: bool) -> None:
    for name, why in [*tally.ignored, *tally.rejected][:SHOWN]:
        warn(f"{name}: {why}")
    if (more := len(tally.ignored) + len(tally.rejected) - SHOWN) > 0:
        warn(f"and {more} more")
    if as_json:
        rows = {name: [{"message": one, "why": why} for one, why in getattr(tally, name)]
                for name in ("rejected", "ignored")}  # fmt: skip
        say_json({"messages": tally.messages, "accepted": tally.accepted} | rows)
    else:
        say(f"{tally.messages} messages: {tally.accepted} hits accepted, {len(tally.rejected)} rejected; "
            f"{len(tally.ignored)} messages told nothing")  # fmt: skip
    if tally.rejected:
        raise SystemExit(1)
