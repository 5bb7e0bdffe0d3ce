"""A delivery is one event on its way to one loop, or a batch of them; an attempt is one POST made for it."""

from datetime import datetime
from typing import Literal

import msgspec

Outcome = Literal["delivered", "again", "dead"]


class Failed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One failed attempt as a delivery remembers it."""

    attempt: int
    at: datetime
    error: str
    status: int | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event for a loop; `more` are the other events of a batch. `id` is the webhook-id.

    `attempts` counts POSTs made, `holds` the times it waited without one. In a retry topic `due` is the Unix
    time of the next attempt and `leaves` the time it may leave that topic (earlier than `due` where a longer
    wait is chained over several topics). `replay` is the id of the replay that sends it once more. `place` is where it
    stands among its loop's, in retry topics and where the loop is ordered: its offset in `deliveries`. In `batches`,
    `source` is the topic its events were taken from, and `offsets` says which records of it they are.
    """

    id: str
    loop: str
    account: str
    event: msgspec.Raw
    attempts: int = 0
    holds: int = 0
    due: float = 0.0
    leaves: float = 0.0
    history: list[Failed] = []
    replay: str | None = None
    place: int | None = None
    more: list[msgspec.Raw] = []
    source: str | None = None
    offsets: list[int] = []

    @property
    def events(self) -> list[msgspec.Raw]:
        """All that it tells, in the order of its POST."""
        return [self.event, *self.more]


class Timings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Milliseconds from the start of the POST to each milestone."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Carried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a batch, as its attempt names it."""

    event: str
    type: str
    profile: str
    recipient: str | None = None
    message: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One POST, as the topic `attempts` tells it. `batch` are all events of one; the first stands beside it, too."""

    delivery: str
    loop: str
    account: str
    event: str
    type: str
    profile: str
    attempt: int
    at: datetime
    url: str
    outcome: Outcome
    timings: Timings
    status: int | None = None
    error: str | None = None
    response: str | None = None
    recipient: str | None = None
    message: str | None = None
    next_attempt: datetime | None = None
    replay: str | None = None
    batch: list[Carried] = []
