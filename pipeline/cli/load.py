"""`profiles load` and `mailings load`: a file goes in with a progress bar, and what was rejected is listed."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import msgspec
import typer

from pipeline import settings
from pipeline.cli import caller, sending
from pipeline.cli.api import Api
from pipeline.cli.mistakes import Mistake
from pipeline.cli.rows import MAILINGS, PROFILES, SUFFIXES, Bad, Format, Kind, Lines, read
from pipeline.cli.screen import AsJson, Key, console, say, say_json, warn
from pipeline.cli.sending import Send, Sent

if TYPE_CHECKING:
    from rich.progress import Progress

profiles_app = typer.Typer(no_args_is_help=True, help="Profiles: the people behind the addresses.")
mailings_app = typer.Typer(no_args_is_help=True, help="Mailings and their tags.")

STDIN = "-"
SHOWN_REJECTED = 20
PROFILES_A_CALL, CALLS_AT_ONCE = 4000, 3

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A .csv, .ndjson or .jsonl file; - is stdin.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="What the file is, where its name does not say.")]
RejectedOption = Annotated[
    Path | None,
    typer.Option("--rejected", metavar="FILE", help='Write each rejected line here, as {"line", "error", "text"}.'),
]


class Wish(NamedTuple):
    """What is to be loaded, and where to tell of it."""

    kind: Kind
    file: str
    form: Format
    rejected: Path | None
    as_json: bool


@profiles_app.command(name="load")
def load_profiles(
    file: FileArgument,
    form: FormatOption = None,
    rejected: RejectedOption = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Loads profiles; those that are there already are replaced. Exits 1 if a line was rejected.

    CSV begins with a header: id (or profile), email, interests (several parted by ; or |); every other column is a
    field, an empty cell is left out. NDJSON is an object a line: {"id", "email", "fields": {}, "interests": []}.
    """
    wish = Wish(PROFILES, file, _format(file, form), rejected, as_json)
    _load(wish, sending.profiles(_api(key)), PROFILES_A_CALL)


@mailings_app.command(name="load")
def load_mailings(
    file: FileArgument,
    form: FormatOption = None,
    rejected: RejectedOption = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Loads mailings; those that are there already are replaced. Exits 1 if a line was rejected.

    CSV begins with a header: id (or mailing), name, tags (several parted by ; or |). NDJSON is an object a line:
    {"id", "name", "tags": []}.
    """
    wish = Wish(MAILINGS, file, _format(file, form), rejected, as_json)
    _load(wish, sending.mailings(_api(key)), 1)


def _format(file: str, given: Format | None) -> Format:
    found = given or SUFFIXES.get(Path(file).suffix.lower())
    if found is None:
        what = "stdin" if file == STDIN else file
        raise Mistake(f"{what}: is it csv or ndjson? --format says so")
    return found


def _api(key: str) -> Api:
    return Api(caller.account(settings.read(), key), patient=True)


def _load(wish: Wish, send: Send, most: int) -> None:
    began = time.monotonic()
    with ExitStack() as open_files:
        file = open_files.enter_context(_opened(wish))
        list_ = _Listing(open_files, wish, file)
        lines = Lines(file)
        rows = read(lines, wish.kind, wish.form)
        with _bar(file) as bar:
            for part in _told_where(wish, sending.sent(sending.chunked(rows, lines, most), send, CALLS_AT_ONCE), list_):
                list_.take(part)
                bar.update(bar.task_ids[0], completed=part.end, rows=f"{list_.accepted:,}")
    list_.conclude(time.monotonic() - began)


class _Listing:
    """Counts, shows the first rejected lines, and writes all of them where that was asked."""

    def __init__(self, open_files: ExitStack, wish: Wish, source: BinaryIO) -> None:
        self.accepted = 0
        self.rejected = 0
        self.last = 0
        self._wish = wish
        self._first: list[Bad] = []
        self._file = open_files.enter_context(_for_rejected(wish.rejected, source)) if wish.rejected else None

    def take(self, part: Sent) -> None:
        """A part of the file that was answered."""
        self.accepted += part.accepted
        self.rejected += len(part.bad)
        self.last = part.last or self.last
        for bad in part.bad:
            if len(self._first) < SHOWN_REJECTED:
                self._first.append(bad)
            if self._file is not None:
                told = {"line": bad.line, "error": bad.why, "text": bad.text.decode("utf-8", "replace")}
                self._file.write(msgspec.json.encode(told) + b"\n")

    def conclude(self, seconds: float) -> None:
        """Says what became of it; exits 1 where a line was rejected."""
        for bad in self._first:
            warn(f"line {bad.line}: {bad.why}")
        if more := self.rejected - len(self._first):
            all_of_them = f"all are in {self._wish.rejected}" if self._file else "--rejected FILE lists them all"
            warn(f"and {more:,} more: {all_of_them}")
        if self._wish.as_json:
            errors = [{"line": bad.line, "error": bad.why} for bad in self._first]
            say_json({"accepted": self.accepted, "rejected": self.rejected, "errors": errors})
        else:
            say(f"{self.accepted:,} {self._wish.kind.name} accepted, {self.rejected:,} rejected, in {seconds:.1f} s")
        if self.rejected:
            raise SystemExit(1)


def _told_where(wish: Wish, parts: Iterator[Sent], list_: _Listing) -> Iterator[Sent]:
    """A mistake in the middle says how far it came."""
    try:
        yield from parts
    except (Mistake, OSError) as wrong:
        what = str(wrong) if isinstance(wrong, Mistake) else f"{wish.file}: {wrong.strerror}"
        if not list_.last:
            raise Mistake(what) from wrong
        raise Mistake(
            f"{what}: it stopped behind line {list_.last}, with {list_.accepted:,} accepted; "
            "loading the whole file again does no harm"
        ) from wrong


@contextmanager
def _opened(wish: Wish) -> Iterator[BinaryIO]:
    try:
        opened = nullcontext(sys.stdin.buffer) if wish.file == STDIN else Path(wish.file).open("rb")  # noqa: SIM115
    except OSError as wrong:
        raise Mistake(f"{wish.file}: {wrong.strerror}") from wrong
    with opened as file:
        yield file


@contextmanager
def _for_rejected(place: Path, source: BinaryIO) -> Iterator[BinaryIO]:
    try:
        if place.exists() and os.path.samestat(place.stat(), os.fstat(source.fileno())):
            raise Mistake(f"--rejected {place} is the file that is loaded")
        with place.open("wb") as file:
            yield file  # what goes wrong meanwhile is told by others, but for the writing itself: _told_where
    except OSError as wrong:
        raise Mistake(f"--rejected {place}: {wrong.strerror}") from wrong


@contextmanager
def _bar(file: BinaryIO) -> "Iterator[Progress]":
    """On stderr: a bar of bytes where the file has a size, else a count; nothing where that is no terminal."""
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    size = _size(file)
    count = TextColumn("{task.fields[rows]} rows")
    known = (BarColumn(), DownloadColumn(), count, TimeRemainingColumn())
    unknown = (SpinnerColumn(), count, TimeElapsedColumn())
    screen = console(stderr=True)
    with Progress(*(known if size else unknown), console=screen, disable=not screen.is_terminal) as bar:
        bar.add_task("", total=size, rows="0")
        yield bar


def _size(file: BinaryIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if os.path.isfile(file.fileno()) else None  # noqa: PTH113 (a descriptor)
