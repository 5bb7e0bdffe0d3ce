"""The tally: what was answered, beside what the customer's server was told."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple


class Told(NamedTuple):
    """A POST that the customer's server accepted: what it tells, under which webhook-id, and if it was well signed."""

    message: str
    event: str
    webhook: str
    signed: bool = True


def tally(answered: AbstractSet[str], asked: int, accepted: Iterable[Told]) -> dict[str, Any]:
    """The counts, and the first names of the messages that are `lost`: answered, and never told.

    Messages are `m-1` to `m-ASKED`. `duplicated` are POSTs of an event that was told before, `twins` events of one
    message beyond the first, `invented` messages that nobody opened, `renamed` events under more than one webhook-id.
    """
    webhooks: defaultdict[str, set[str]] = defaultdict(set)  # by event
    events: defaultdict[str, set[str]] = defaultdict(set)  # by message
    posts = unsigned = 0
    for told in accepted:
        posts += 1
        unsigned += not told.signed
        webhooks[told.event].add(told.webhook)
        events[told.message].add(told.event)
    lost = sorted(answered - events.keys())
    return {
        "answered": len(answered),
        "delivered": len(answered & events.keys()),
        "duplicated": posts - len(webhooks),
        "lost": len(lost),
        "twins": sum(len(names) - 1 for names in events.values()),
        "invented": sum(not 1 <= number_of(message) <= asked for message in events),
        "unsigned": unsigned,
        "renamed": sum(len(names) > 1 for names in webhooks.values()),
        "lost_messages": lost[:20],
    }


def number_of(message: str) -> int:
    """7 of `m-7`; 0 where it is no such name."""
    number = message.removeprefix("m-")
    return int(number) if number.isdecimal() and message == f"m-{number}" else 0


def is_well(counts: dict[str, Any]) -> bool:
    """Whether nothing was lost, and nothing was told that should not have been."""
    return not any(counts[name] for name in ("lost", "twins", "invented", "unsigned", "renamed"))
