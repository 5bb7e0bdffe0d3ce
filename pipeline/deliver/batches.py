"""A batch is one delivery of several events: how it is made of them, split, and taken apart again."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from pipeline import topics
from pipeline.model.deliveries import Carried, Delivery
from pipeline.model.events import Event
from pipeline.model.ids import batch_id, delivery_id
from pipeline.record import Record


class Named(msgspec.Struct):
    """Of an event, its id."""

    id: str


_named = msgspec.json.Decoder(Named)
_json = msgspec.json.Encoder()


def batch(deliveries: Sequence[Delivery], source: str, offsets: list[int]) -> Delivery:
    """One delivery of all these, which were read from those offsets of `source`; all of one loop and one replay."""
    first = deliveries[0]
    made = _of(first, [one.event for one in deliveries])
    return replace(made, source=source, offsets=offsets)


def checked(delivery: Delivery) -> Delivery:
    """The delivery, where it can be taken apart, and headers named by its ids; msgspec.ValidationError where not."""
    if not delivery.id or not all(
        word.isascii() and word.isprintable() for word in (delivery.id, delivery.replay or "")
    ):
        raise msgspec.ValidationError(f"its id or its replay is none: {delivery.id!r}, {delivery.replay!r}")
    if delivery.more or delivery.offsets:
        count = len([_id(event) for event in delivery.events])
        if delivery.offsets and len(delivery.offsets) != count:
            raise msgspec.ValidationError(f"{len(delivery.offsets)} offsets for {count} events")
    return delivery


def narrowed(delivery: Delivery, kept: Sequence[int]) -> Delivery | None:
    """The batch with only those of its events, by number; None where none is left."""
    if len(kept) == len(delivery.offsets):
        return delivery
    if not kept:
        return None
    events, offsets = delivery.events, delivery.offsets
    return replace(_of(delivery, [events[at] for at in kept]), offsets=[offsets[at] for at in kept])


def halves(delivery: Delivery) -> list[Delivery]:
    """Two batches of a batch, each with its own id, neither with an attempt: what is sent where all was too large."""
    events = delivery.events
    middle = (len(events) + 1) // 2
    # Their offsets stay with the record that took them: else both would be events of an earlier batch, and left out.
    fresh = replace(delivery, attempts=0, holds=0, due=0.0, leaves=0.0, history=[], offsets=[])
    return [_of(fresh, events[:middle]), _of(fresh, events[middle:])]


def singles(delivery: Delivery) -> list[Delivery]:
    """A delivery for each event, with the id it has by itself and the history that the batch had."""
    alone = replace(delivery, more=[], source=None, offsets=[])
    if not delivery.more:
        return [alone]
    return [replace(alone, id=delivery_id(_id(event), delivery.loop), event=event) for event in delivery.events]


def recorded(delivery: Delivery) -> Record:
    """The record that says what a batch holds, before anything is sent of it."""
    return Record(topics.BATCHES, delivery.loop.encode(), _json.encode(delivery))


def carried(events: Iterable[Event]) -> list[Carried]:
    """The events of a batch as its attempt names them."""
    return [
        Carried(event=one.id, type=one.type, profile=one.profile, recipient=one.recipient, message=one.message)
        for one in events
    ]


def _of(like: Delivery, events: list[msgspec.Raw]) -> Delivery:
    ids = [_id(event) for event in events]
    return replace(like, id=batch_id(ids, like.loop), event=events[0], more=events[1:])


def _id(event: msgspec.Raw) -> str:
    return _named.decode(event).id
