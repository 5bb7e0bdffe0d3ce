"""What a command prints: tables for people, JSON for scripts, and nothing that a terminal would obey."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

# rich is imported where it is used, as requests is: see api.py.

WIDEST = 10_000  # a pipe has no width: nothing is folded there
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Key = Annotated[
    str, typer.Option("--key", help="The account's API key. Better LOOPWIRE_API_KEY: that is in no list of processes.")
]
AdminKey = Annotated[str, typer.Option("--key", help="The admin key, where LOOPWIRE_ADMIN_KEY or DATA do not have it.")]


def say(line: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(plain(line) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:  # noqa: ANN401 (JSON)
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write(plain(line) + "\n")
    sys.stderr.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under their columns, on stdout."""
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*map(plain, row))
    console(stderr=False).print(drawn)


def console(*, stderr: bool) -> "Console":
    """A rich console that takes texts as they are: no markup, no emoji."""
    from rich.console import Console  # noqa: PLC0415

    wide = None if (sys.stderr if stderr else sys.stdout).isatty() else WIDEST
    return Console(stderr=stderr, width=wide, markup=False, emoji=False, highlight=False)


def plain(text: str) -> str:
    """The text on one line, with what a terminal might obey spelled out: customers and readers wrote some of it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
