"""How loops fared lately, as the list of loops shows it: asked of the store, and left out while that is away."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class Health(NamedTuple):
    """One loop's last 24 hours: POSTs of each hour, the oldest first, and what is unknown as None.

    `success` is a share from 0 to 1, `p95` milliseconds, `backlog` how many deliveries failed and wait for their
    next attempt.
    """

    hours: Sequence[int] = ()
    success: float | None = None
    p95: float | None = None
    backlog: int | None = None


class LoopHealth(Protocol):
    """Knows how loops fared."""

    def of(self, account: str, loops: Sequence[str], now: datetime) -> Awaitable[Mapping[str, Health]]:
        """The health of those of the account's loops that anything is known of, by id."""
        ...


class NothingKnown:
    """Where nobody counts."""

    async def of(self, account: str, loops: Sequence[str], now: datetime) -> Mapping[str, Health]:  # noqa: ARG002
        """Of no loop anything."""
        return {}
