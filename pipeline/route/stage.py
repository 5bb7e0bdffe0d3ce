"""What becomes of an event: one delivery for each active loop of its account that wants it."""

import msgspec

from pipeline import topics
from pipeline.model.deliveries import Delivery
from pipeline.model.ids import delivery_id
from pipeline.model.standing import Standings
from pipeline.record import Message, Record, dead
from pipeline.route.matching import Matter, wants

_matter = msgspec.json.Decoder(Matter)
_json = msgspec.json.Encoder()


def outcome(message: Message, standings: Standings) -> list[Record]:
    """The deliveries of an event, keyed by their loop; a dead letter where the event can't be read."""
    value = message.value() or b""
    try:
        event = _matter.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        return [dead(topics.HITS_DEAD, topics.EVENTS, message, f"value: {wrong}")]
    return [
        _delivery(event, loop.id, value)
        for loop, state, _reason in standings.of(event.account)
        if state == "active" and wants(loop, event)
    ]


def _delivery(event: Matter, loop: str, value: bytes) -> Record:
    delivery = Delivery(id=delivery_id(event.id, loop), loop=loop, account=event.account, event=msgspec.Raw(value))
    return Record(topics.DELIVERIES, loop.encode(), _json.encode(delivery))
