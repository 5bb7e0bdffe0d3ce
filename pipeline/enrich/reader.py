"""Was it a person or a machine, and with what? The answer as the tail of a JSON object, made once and kept.

A machine that its user agent names tells nothing of the reader but, at best, the mail client it fetches for. One that
is known by its method, its address or its haste may carry a reader's agent, so that is read like a person's.
"""

from functools import lru_cache

import msgspec

from pipeline.enrich.agents import Agents
from pipeline.enrich.bursts import NONE
from pipeline.enrich.join import Tail
from pipeline.enrich.machines import Machines, rows
from pipeline.enrich.networks import HEAD, NOBODY

LONGEST = 512  # characters of a user agent that are read; apps' own go to 400
REMEMBERED = 20_000  # answers kept, at most 15 MB: an agent seen before costs 0.5 us, a new one 150

_json = msgspec.json.Encoder()


class Readers:
    """Answers for opens and clicks; of a hit of another type nothing is said. Takes half a second to make."""

    def __init__(self) -> None:
        self._machines = Machines(rows())
        self._agents = Agents()
        # Bound here, since they are asked for each hit.
        self._by_method = self._machines.methods.get
        self._by_network = self._machines.networks.names
        self._heads = self._machines.networks.heads
        self._kept = lru_cache(REMEMBERED)(self._tail)

    def tail(self, useragent: str | None, method: str | None, ip: str | None, seen: tuple[str, ...] = NONE) -> Tail:
        """`machine`, and as known `signals`, `client`, `system`, `device`; `seen` are signals known beforehand."""
        agent = useragent[:LONGEST] if useragent else ""
        nobody = ip is None or ip[:HEAD] not in self._heads
        return self._kept(agent, self._by_method(method), NOBODY if nobody else self._by_network(ip), seen)

    def _tail(self, useragent: str, by_method: str | None, by_network: tuple[str, ...], seen: tuple[str, ...]) -> Tail:
        row = self._machines.named(useragent)
        signals = [row.signal] if row else []
        signals += [by_method] if by_method else []
        signals = list(dict.fromkeys([*signals, *by_network, *seen]))
        answer: dict[str, object] = {"machine": bool(signals)}
        if signals:
            answer["signals"] = signals
        if row is None:
            answer |= self._agents.told(useragent)
        elif row.client:
            answer["client"] = row.client
        return b"," + _json.encode(answer)[1:-1]
