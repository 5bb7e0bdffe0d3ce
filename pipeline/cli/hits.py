"""`loopwire hits load`: what mail servers told, a JSON object a line, goes to the API."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import NDJSON, Api, path
from pipeline.cli.mistakes import Mistake
from pipeline.cli.screen import AsJson, Key, say, say_json, warn

app = typer.Typer(no_args_is_help=True, help="Deliveries, bounces, failures, complaints and unsubscribes.")
STDIN = "-"
CHUNK_BYTES, CHUNK_LINES = 1024 * 1024, 4000
SHOWN_REJECTED = 20

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="An object a line; - is stdin.", show_default=False)]


@app.command()
def load(file: FileArgument, key: Key = "", as_json: AsJson = False) -> None:
    """Tells of hits. Exits 1 if a line was rejected.

    A line is {"type", "profile", "mailing", "message"?, "at"?, "details"?}, or has "link", any tracking link of the
    mail, in the place of its ids. Each line that was accepted is one event: a file that is loaded twice is told twice.
    """
    api = Api(caller.account(settings.read(), key))
    began, read, accepted = time.monotonic(), 0, 0
    rejected: list[tuple[int, str]] = []
    try:
        with nullcontext(sys.stdin.buffer) if file == STDIN else Path(file).open("rb") as lines:
            for chunk in _chunks(lines):
                answer = api.send("POST", path("hits"), b"".join(chunk), NDJSON)
                accepted += answer["accepted"]
                rejected += [(read + one["line"], one["error"]) for one in answer["rejected"]]
                read += len(chunk)
    except OSError as wrong:
        raise Mistake(f"{file}: {wrong.strerror}") from wrong
    except Mistake as wrong:
        raise Mistake(f"{wrong}\n  it stopped behind line {read}: load the rest from there") from wrong
    for number, error in rejected[:SHOWN_REJECTED]:
        warn(f"line {number}: {error}")
    if len(rejected) > SHOWN_REJECTED:
        warn(f"and {len(rejected) - SHOWN_REJECTED:,} more")
    if as_json:
        errors = [{"line": number, "error": error} for number, error in rejected]
        say_json({"accepted": accepted, "rejected": len(rejected), "errors": errors})
    else:
        say(f"{accepted:,} hits accepted, {len(rejected):,} rejected, in {time.monotonic() - began:.1f} s")
    if rejected:
        raise SystemExit(1)


def _chunks(lines: BinaryIO) -> Iterator[list[bytes]]:
    """Lines with their line feeds, as many as make a call."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= CHUNK_BYTES or len(chunk) >= CHUNK_LINES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
