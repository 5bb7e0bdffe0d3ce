"""What becomes of a hit: the event it is, or the dead letter that says why it is none."""

from pipeline import topics
from pipeline.enrich.join import Rows, Told, UnreadableError, event_of
from pipeline.record import LARGEST_EVENT, Message, Record, dead


def outcome(message: Message, profiles: Rows, tags: Rows, told: Told) -> bytes | Record:
    """The event as JSON, bound for the same key and partition number of `events`; or a record for `hits-dead`.

    Bytes, not a Record, in the common case: this runs once a hit.
    """
    try:
        event = event_of(message.key(), message.value(), profiles, tags, told)
        return event if len(event) <= LARGEST_EVENT else buried(message, f"event: would be {len(event)} bytes")
    except UnreadableError as wrong:
        return buried(message, str(wrong))


def buried(message: Message, reason: str) -> Record:
    """A hit that can't become an event, as it came, with the reason."""
    return dead(topics.HITS_DEAD, topics.HITS, message, reason)
