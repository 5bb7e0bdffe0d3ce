"""A trial is one POST of a sample event, made like any delivery, so that a customer sees what will come."""

from datetime import datetime
from typing import Any, Protocol

import msgspec

from pipeline.console.seals import Seals
from pipeline.console.shown import TrialShown
from pipeline.deliver.stage import Post, signed
from pipeline.model.deliveries import Delivery, Timings
from pipeline.model.events import Event
from pipeline.model.ids import uuid7
from pipeline.model.loops import Loop, LoopState, state_of

# What a type has beside what all have. Addresses and names are those set apart for examples (RFC 2606, RFC 5737).
READER: dict[str, Any] = {"ip": "198.51.100.7", "useragent": "Mozilla/5.0 (X11; Linux x86_64)"}
OF_TYPE: dict[str, dict[str, Any]] = {
    "open": READER | {"machine": False},
    "click": READER | {"machine": False, "url": "https://shop.example/spring"},
    "unsubscribe": READER,
    "delivery": {"details": {"code": 250, "description": "2.0.0 Ok: queued"}},
    "bounce": {"details": {"code": "5.1.1", "description": "mailbox unknown"}},
    "failure": {"details": {"code": 550, "description": "5.7.1 refused"}},
    "abuse": {"details": {"source": "fbl@mail.example"}},
    "create": {"parameters": {"city": "Utrecht"}, "origin": "test"},
    "update": {"parameters": {"city": "Utrecht"}, "previous": {"city": "Delft"}, "origin": "test"},
    "delete": {"previous": {"city": "Utrecht"}, "origin": "test"},
}
OF_NOTICE: dict[str, dict[str, Any]] = {
    "loop.failing": {"since": "2026-03-19T09:00:00+00:00", "error": "answered 500"},
    "loop.disabled": {"reason": "gone"},
    "loop.ownership": {
        "error": "https://shop.example/loopwire-0000000000000000.txt: answered 404",
        "misses": 1,
        "of": 3,
    },
    "loop.recovered": {},
}


class Answered(Protocol):
    """What came back of a POST; no status where the server was not reached."""

    @property
    def status(self) -> int | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def error(self) -> str | None: ...
    @property
    def timings(self) -> Timings: ...


def refusal(loop: Loop, found: LoopState | None) -> str | None:
    """Why nothing may be sent to the loop's address; None where its owner wants it, paused or failing as it may be."""
    state, reason = state_of(loop, found)
    if state == "unverified":
        return "the loop's url is not verified: place the verification file and verify it first"
    if reason == "ownership":
        return "the verification file is gone: place it again and verify the loop"
    return None


def post(loop: Loop, seals: Seals, now: datetime) -> Post:
    """The POST of a sample event, with an id that no delivery has."""
    event = sample(loop, uuid7(now, seals.random(10)), now)
    delivery = Delivery(
        id=f"test_{seals.random(16).hex()}",
        loop=loop.id,
        account=loop.account,
        event=msgspec.Raw(msgspec.json.encode(event)),
    )
    return signed(delivery, [event], loop, now.timestamp(), seals.open)


def sample(loop: Loop, event: str, now: datetime) -> Event:
    """An event of the first type the loop asks for; `event` is its id, and nobody's data is in it."""
    if loop.events[0] in OF_NOTICE:
        return _notice(loop, event, now)
    return Event(
        id=event,
        type=loop.events[0],
        account=loop.account,
        profile="test",
        at=now,
        mailing="test",
        message="test",
        recipient="test@shop.example",
        tags=["test"],
        fields={"city": "Utrecht"},
        **OF_TYPE.get(loop.events[0], {}),
    )


def _notice(loop: Loop, event: str, now: datetime) -> Event:
    """What is told of another loop has no mail and no recipient; it names that loop."""
    about = {"loop": "lp_test", "name": "test", "url": "https://shop.example/hooks/in"}
    kind = loop.events[0]
    return Event(id=event, type=kind, account=loop.account, profile="lp_test", at=now, details=about | OF_NOTICE[kind])


def shown(answer: Answered) -> TrialShown:
    """What the customer's server said, for the customer."""
    return TrialShown(
        status=answer.status,
        ms=round(answer.timings.total, 1),
        response=answer.body.decode(errors="replace"),
        error=answer.error,
    )
