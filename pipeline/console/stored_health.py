"""Loops' health as the store of attempts counted it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from pipeline.console.console import Store, StoreAwayError
from pipeline.console.loop_health import Health
from pipeline.console.store import fared
from pipeline.console.store.told import microseconds


class StoredHealth:
    """Knows nothing of any loop while the store is away: a list of loops is worth more than its figures."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, account: str, loops: Sequence[str], now: datetime) -> Mapping[str, Health]:
        """The health of those of the account's loops that anything is known of, by id."""
        if not loops:
            return {}
        try:
            return await self._store.ask(partial(fared.health, asked=fared.Asked(account, loops, microseconds(now))))
        except StoreAwayError:
            return {}
