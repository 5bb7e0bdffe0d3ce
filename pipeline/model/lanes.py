"""A lane as deliver tells of it, and as the loop's page shows it: how the POSTs of one loop go now."""

from typing import Literal

import msgspec

Breaker = Literal["closed", "open", "half-open"]


class LaneNow(msgspec.Struct, frozen=True, kw_only=True):
    """`cap` POSTs at a time are let through now, `most` at most; `rate` of them a second where the loop has a pace.

    `waiting` deliveries are in memory; the oldest of them has been due for `oldest_due` seconds. `held` were put back
    into the retry topics without an attempt, since the process got to know the lane. A batch is one delivery, and waits
    here once it is written down.
    """

    in_flight: int
    cap: int
    most: int
    rate: float | None
    breaker: Breaker
    waiting: int
    held: int
    oldest_due: float | None
