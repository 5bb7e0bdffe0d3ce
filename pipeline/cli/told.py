"""An event or an attempt on one line; what is unknown is left out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.model.deliveries import Attempt
from pipeline.model.events import Event


def event_line(event: Event) -> str:
    """When (UTC), what, who, in which mailing, and what is special about it."""
    words = [_when(event.at), f"{event.type:<8}", f"{event.account}/{event.profile}", event.recipient]
    tags = f" [{', '.join(event.tags)}]" if event.tags else ""
    mailing = f"{event.mailing}{tags}" if event.mailing else None
    leads = f"-> {event.url}" if event.url else None
    machine = f"by a machine{_because(event.signals)}" if event.machine else None
    origin = f"by {event.origin}" if event.origin else None
    return _joined(*words, mailing, leads, machine, _pairs(event.details), _pairs(event.parameters), origin)


def attempt_line(attempt: Attempt) -> str:
    """When (UTC), how it was answered, what was sent for whom to where, and what comes next."""
    status = f"{attempt.status or '-':<3}"
    took = f"{attempt.timings.total:.0f} ms"
    others = f" and {len(attempt.batch) - 1} more" if attempt.batch else ""
    what = f"{attempt.type} of {attempt.account}/{attempt.profile}{others}"
    count = f"{attempt.loop} attempt {attempt.attempt}"
    outcome = attempt.outcome + (f": {attempt.error}" if attempt.error else "")
    again = f"next {_when(attempt.next_attempt)}" if attempt.next_attempt else None
    return _joined(_when(attempt.at), status, took, what, count, attempt.url, outcome, again)


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _because(signals: list[str] | None) -> str:
    return f" ({', '.join(signals)})" if signals else ""


def _pairs(values: Mapping[str, Any] | None) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in values.items()) if values else None


def _joined(*words: str | None) -> str:
    return "  ".join(word for word in words if word)
