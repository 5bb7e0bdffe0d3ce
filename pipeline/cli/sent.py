"""Attempts and their counts as rows of a table; what is unknown is a dash."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

ERROR = 80  # characters of an error that a row has room for


def asked_path(path: str, asked: Mapping[str, str]) -> str:
    """The path with what is asked behind it; what is empty is not asked."""
    words = {name: value for name, value in asked.items() if value}
    return f"{path}?{urlencode(words)}" if words else path


def attempt_row(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    """When, how it ended, how long it took, of what, and what comes next."""
    others = len(attempt.get("batch") or ()) - 1
    return (
        _when(attempt["at"]),
        attempt["state"],
        _word(attempt["status"]),
        f"{attempt['timings']['total']:.0f}",
        attempt["type"],
        f"{attempt['profile']} and {others} more" if others > 0 else attempt["profile"],
        str(attempt["attempt"]),
        _when(attempt["next_attempt"]),
        (attempt["error"] or "-")[:ERROR],
    )


def dead_row(letter: Mapping[str, Any]) -> tuple[str, ...]:
    """When it was given up, whose it is, and why."""
    return (
        _when(letter["at"]),
        letter["loop"],
        letter["delivery"],
        _word(letter["type"]),
        _word(letter["recipient"]),
        str(letter["attempts"]),
        letter["reason"][:ERROR],
    )


def total_line(stats: Mapping[str, Any]) -> str:
    """All of it in a line."""
    total, types = stats["total"], stats["total"]["types"]
    kinds = "".join(f", {name} {count}" for name, count in types.items())
    return f"{_when(stats['from'])} to {_when(stats['to'])}: {total['attempts']} attempts{kinds}"


def stats_rows(stats: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each step in which something was sent, and one for all of them."""
    points = [(_when(point["at"]), point) for point in stats["points"] if point["attempts"]]
    named = [*points, ("all", stats["total"])] if points else []
    return [(name, *_counts(of), *_latency(of["latency"])) for name, of in named]


def _counts(of: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(of[name]) for name in ("attempts", "delivered", "retrying", "dead"))


def _latency(of: Mapping[str, float] | None) -> tuple[str, ...]:
    return tuple("-" if of is None else f"{of[name]:.0f}" for name in ("p50", "p95", "p99"))


def _when(moment: str | None) -> str:
    return "-" if moment is None else moment[:19].replace("T", " ")


def _word(value: object) -> str:
    return "-" if value is None else str(value)
