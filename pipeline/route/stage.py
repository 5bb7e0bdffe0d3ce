"""What becomes of an event: a delivery for each active loop of its account that wants it; others may miss it."""

import msgspec

from pipeline import topics
from pipeline.model.deliveries import Delivery
from pipeline.model.ids import delivery_id
from pipeline.model.loops import Loop, State
from pipeline.model.replays import Replay
from pipeline.model.standing import Standing, Standings
from pipeline.record import LARGEST_EVENT, Message, Record, dead
from pipeline.route.holds import Holds
from pipeline.route.matching import Matter, wants
from pipeline.route.selection import chosen

HELD = frozenset({"paused", "disabled"})

_matter = msgspec.json.Decoder(Matter)
_json = msgspec.json.Encoder()


def outcome(message: Message, standings: Standings, holds: Holds) -> list[Record]:
    """The deliveries of an event, keyed by their loop, and the holds it begins; a dead letter if it can't be read.

    A loop that is paused or disabled, or only fails, misses it: that is a stretch of offsets, not a copy of each event.
    """
    value = message.value()
    if value is None:
        return [dead(topics.HITS_DEAD, topics.EVENTS, message, "value: is null, which no event is")]
    if len(value) > LARGEST_EVENT:
        return [dead(topics.HITS_DEAD, topics.EVENTS, message, f"value: is {len(value)} bytes, over {LARGEST_EVENT}")]
    try:
        event = _matter.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        return [dead(topics.HITS_DEAD, topics.EVENTS, message, f"value: {wrong}")]
    wanting = [standing for standing in standings.of(event.account) if wants(standing.loop, event)]
    missed = [
        holds.miss(loop.id, message.partition() or 0, message.offset() or 0)
        for loop, state, _reason in wanting
        if _is_held(loop, state) or (state == "active" and standings.fails(loop))
    ]
    sent = [
        _delivery(topics.DELIVERIES, event, loop.id, value)
        for loop, state, _reason in wanting
        if state == "active" and not standings.fails(loop)
    ]
    return sent + [record for record in missed if record is not None]


def missed(message: Message, standing: Standing) -> Record | None:
    """The delivery of an event the loop missed, for `replays`, under the id it would have had; None if unwanted."""
    event = _past(message, standing)
    return _delivery(topics.REPLAYS, event, standing.loop.id, message.value() or b"") if event else None


def again(message: Message, standing: Standing, replay: Replay) -> Record | None:
    """The delivery of an event a replay asks for, for `replays`, under the id it had; None if unwanted."""
    event = _past(message, standing)
    if event is None or not chosen(replay, event, message.timestamp()[1]):
        return None
    return _delivery(topics.REPLAYS, event, standing.loop.id, message.value() or b"", replay.id)


def _is_held(loop: Loop, state: State) -> bool:
    """Whether the loop gets later what it misses: not before it proved for a first time that it wants anything."""
    return state in HELD or (state == "unverified" and loop.epoch > 0)


def _past(message: Message, standing: Standing) -> Matter | None:
    """What decides of an event that the loop wants."""
    value = message.value() or b""
    if len(value) > LARGEST_EVENT:
        return None
    try:
        event = _matter.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # it is a dead letter since it was routed
    return event if event.account == standing.loop.account and wants(standing.loop, event) else None


def _delivery(topic: str, event: Matter, loop: str, value: bytes, replay: str | None = None) -> Record:
    delivery = Delivery(
        id=delivery_id(event.id, loop), loop=loop, account=event.account, event=msgspec.Raw(value), replay=replay
    )
    return Record(topic, loop.encode(), _json.encode(delivery))
