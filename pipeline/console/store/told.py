"""What is kept of a record of `attempts`, or why nothing can be."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from pipeline.console.store.latency import bucket_of
from pipeline.model.deliveries import Outcome
from pipeline.model.ids import ACCOUNT_PATTERN, EPOCH
from pipeline.record import Message

PARTITIONS = 4096  # more than a topic of ours can have
LONGEST_REASON = 300

State = Literal["delivered", "retrying", "dead"]
STATES: dict[Outcome, State] = {"delivered": "delivered", "again": "retrying", "dead": "dead"}

# The bounds are far beyond what deliver writes, and within what both databases take.
Word = Annotated[str, Meta(max_length=400)]
Text = Annotated[str, Meta(max_length=20_000)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]


class Timings(msgspec.Struct, frozen=True):
    dns: Milliseconds = 0.0
    connect: Milliseconds = 0.0
    tls: Milliseconds = 0.0
    first_byte: Milliseconds = 0.0
    total: Milliseconds = 0.0


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    event: Word
    type: Word
    profile: Word
    recipient: Word | None = None
    message: Word | None = None


class Told(msgspec.Struct, frozen=True):
    """An attempt, as far as it is kept."""

    delivery: Word
    loop: Word
    account: Annotated[str, Meta(pattern=ACCOUNT_PATTERN)]
    event: Word
    type: Word
    profile: Word
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)]
    at: Annotated[datetime, Meta(tz=True)]
    url: Text
    outcome: Outcome
    timings: Timings
    status: Annotated[int, Meta(ge=0, le=999)] | None = None
    error: Text | None = None
    response: Text | None = None
    recipient: Text | None = None
    message: Word | None = None
    next_attempt: Annotated[datetime, Meta(tz=True)] | None = None
    replay: Word | None = None
    batch: Annotated[list[Carried], Meta(max_length=10_000)] = []


class Row(NamedTuple):
    """An attempt as the table has it, and the bucket of its latency."""

    values: dict[str, Any]
    bucket: int


class Skipped(NamedTuple):
    """A record that is no attempt."""

    id: int
    reason: str


_told = msgspec.json.Decoder(Told)
_json = msgspec.json.Encoder()
_NUL = b"\\u0000"  # PostgreSQL can't keep this character, and a customer's server may answer with it


def read(message: Message) -> Row | Skipped:
    """The row of a record."""
    number, value = id_of(message.partition() or 0, message.offset() or 0), message.value() or b""
    try:
        told = _told.decode(value)
        values = _values(number, told)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as wrong:
        return Skipped(number, str(wrong)[:LONGEST_REASON].replace("\0", "\ufffd"))
    if _NUL in value:
        values = {name: one.replace("\0", "\ufffd") if isinstance(one, str) else one for name, one in values.items()}
    return Row(values, bucket_of(told.timings.total))


def id_of(partition: int, offset: int) -> int:
    """One number for the place of a record, in the order of its partition."""
    return offset * PARTITIONS + partition


def microseconds(moment: datetime) -> int:
    """Since 1970, exact."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _values(number: int, told: Told) -> dict[str, Any]:
    timings = told.timings
    return {
        "id": number,
        "loop": told.loop,
        "account": told.account,
        "at": microseconds(told.at),
        "failed": int(told.outcome != "delivered"),
        "state": STATES[told.outcome],
        "type": told.type,
        "delivery": told.delivery,
        "event": told.event,
        "profile": told.profile,
        "recipient": told.recipient,
        "message": told.message,
        "attempt": told.attempt,
        "url": told.url,
        "status": told.status,
        "error": told.error,
        "response": told.response,
        "dns": timings.dns,
        "connect": timings.connect,
        "tls": timings.tls,
        "first_byte": timings.first_byte,
        "total": timings.total,
        "next_attempt": None if told.next_attempt is None else microseconds(told.next_attempt),
        "replay": told.replay,
        "batch": _json.encode(told.batch).decode() if told.batch else None,
    }
