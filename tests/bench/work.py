"""What deliver works on: verified loops to a receiver, and the deliveries that wait for them."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from pipeline.console.forms import LoopForm
from pipeline.console.loops import Identity, created, row, verified
from pipeline.console.seals import Seals
from pipeline.enrich.join import event_of, profile_tail, tags_tail
from pipeline.model.deliveries import Delivery
from pipeline.model.ids import delivery_id
from pipeline.model.loops import Loop
from pipeline.record import Record
from pipeline.settings import key_bytes
from pipeline.topics import DELIVERIES
from tests.bench.ground import MASTER
from tests.bench.mail import ACCOUNT, encode, hit_records, hits, mailings, profiles

SECRET = "whsec_" + MASTER
EVENTS = ["open", "click", "unsubscribe", "delivery", "bounce", "failure", "abuse"]


def loop(number: int, origin: str) -> Loop:
    """A loop of the account to the receiver, as the console writes one once its file was found."""
    name = f"lp_bench{number:04d}"
    seals = Seals(key_bytes(MASTER), lambda size: number.to_bytes(size, "big"))
    form = LoopForm.model_validate({"name": name, "url": f"{origin}/hooks/{number}", "events": EVENTS})
    new = Identity(name, f"loopwire-{number:016x}.txt", f"loopwire-{number:032x}", SECRET)
    now = datetime.now(UTC)
    return verified(created(ACCOUNT, form, new, seals, now), now)


def loop_rows(loops: list[Loop]) -> Iterator[Record]:
    """`loops`."""
    return map(row, loops)


def deliveries(loops: list[Loop], profile_count: int) -> Iterator[Record]:
    """`deliveries` without end: events of these profiles, each for the next of the loops in turn."""
    who = {record.key: profile_tail(record.key, record.value or b"") for record in profiles(profile_count)}
    what = {record.key: tags_tail(record.key, record.value or b"") for record in mailings()}
    turn = itertools.cycle(loops)
    for hit, (_, key, value, *_) in ((one, next(hit_records([one]))) for one in hits(profile_count)):
        wanting = next(turn)
        event = msgspec.Raw(event_of(key, value, who, what, lambda _hit: b""))
        delivery = Delivery(id=delivery_id(hit.id, wanting.id), loop=wanting.id, account=hit.account, event=event)
        yield Record(DELIVERIES, wanting.id.encode(), encode(delivery))
