"""One delivery is sent again by hand: the event it was made of, under the id it had."""

import base64

import msgspec

from pipeline import topics
from pipeline.console.seals import Random
from pipeline.console.shown import AgainShown, AttemptShown
from pipeline.model.deliveries import Delivery
from pipeline.model.loops import Loop, State
from pipeline.record import Record


def identity(random: Random) -> str:
    """What `loopwire-replay` says of it: it is no replay that can be followed, so the id does not begin like one."""
    return "again_" + base64.b32encode(random(10)).decode().lower()


def refusal(state: State) -> str | None:
    """Why nothing is sent to a loop now, if so: a paused one gets it when it goes on."""
    if state in {"active", "paused"}:
        return None
    return f"the loop is {state}: place the verification file and verify it first"


def delivery(attempt: AttemptShown, loop: Loop, event: bytes, replay: str | None) -> Delivery:
    """The delivery as it was before its first attempt."""
    return Delivery(id=attempt.delivery, loop=loop.id, account=loop.account, event=msgspec.Raw(event), replay=replay)


def record(one: Delivery) -> Record:
    """What deliver reads: behind what happens now."""
    return Record(topics.REPLAYS, one.loop.encode(), msgspec.json.encode(one))


def shown(one: Delivery, attempt: AttemptShown) -> AgainShown:
    """What is told of it."""
    return AgainShown(delivery=one.id, event=attempt.event, replay=one.replay or "")
