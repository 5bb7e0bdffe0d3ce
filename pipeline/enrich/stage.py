"""What becomes of a hit: the event it is, or the dead letter that says why it is none."""

from pipeline import topics
from pipeline.enrich.join import Rows, Stray, Told, UnreadableError, event_of, hit_of, nowhere, profile_tail
from pipeline.record import LARGEST_EVENT, Message, Record, dead


def outcome(
    message: Message,
    profiles: Rows,
    tags: Rows,
    told: Told,
    stray: Stray = nowhere,
    largest: int = LARGEST_EVENT,
) -> bytes | Record:
    """The event as JSON, bound for the same key and partition number of `events`; or a record for `hits-dead`.

    An event has at most `largest` bytes.

    Bytes, not a Record, in the common case: this runs once a hit.
    """
    try:
        event = event_of(message.key(), message.value(), profiles, tags, told, stray)
        return event if len(event) <= largest else buried(message, f"event: would be {len(event)} bytes")
    except UnreadableError as wrong:
        return buried(message, str(wrong))


def buried(message: Message, reason: str) -> Record:
    """A hit that can't become an event, as it came, with the reason."""
    return dead(topics.HITS_DEAD, topics.HITS, message, reason)


def is_hit(message: Message) -> bool:
    """Whether a record of `hits` is one, under its own key."""
    try:
        hit_of(message.key(), message.value())
    except UnreadableError:
        return False
    return True


def is_profile(message: Message) -> bool:
    """Whether a record of `profiles` is a row under its own key; an erasure is none: it may end a stray row."""
    key, value = message.key(), message.value()
    if key is None or value is None:
        return False
    try:
        profile_tail(key, value)
    except UnreadableError:
        return False
    return True
