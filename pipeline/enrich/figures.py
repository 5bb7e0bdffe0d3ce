"""What is shown of enrich to those who watch it: told once a batch or once a second, never once an event."""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

from pipeline import metrics

BATCHES = (1, 10, 100, 1000, 2500, 5000, 10_000, 20_000)
COMMITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

READ = metrics.counter("loopwire_enrich_hits", "hits read")
EVENTS = metrics.counter("loopwire_enrich_events", "events handed to Kafka: each hit's, those of changes apart")
DEAD = metrics.counter("loopwire_enrich_dead", "hits that could not be read or written")
BATCH = metrics.histogram("loopwire_enrich_batch_hits", "hits of one partition joined at once", BATCHES)
LAG = metrics.gauge("loopwire_enrich_lag_records", "hits in this worker's partitions that are not finished")
LAG_SECONDS = metrics.gauge("loopwire_enrich_lag_seconds", "how old the oldest hit was that came in the last second")
UNFINISHED = metrics.gauge(
    "loopwire_enrich_unfinished_seconds", "how old the oldest hit is whose event is not acknowledged"
)
ROWS = metrics.gauge("loopwire_enrich_table_rows", "rows of profiles and mailings at hand")
BYTES = metrics.gauge("loopwire_enrich_table_bytes", "about how large the profiles at hand are, keys included")
LOAD = metrics.gauge("loopwire_enrich_load_seconds", "how long the tables of the partitions that came last took")
COMMIT = metrics.histogram("loopwire_enrich_commit_seconds", "from a commit to the broker's answer", COMMITS)


class State(NamedTuple):
    """How far one partition of hits is: its end, what was done before it came, what is safe by now."""

    partition: int
    end: int
    began: int
    safe: int | None


class Figures:
    """What is under way, by partition. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._under_way: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)  # end of a batch, its oldest hit
        self._oldest: int | None = None

    def fetched(self, partition: int, end: int, oldest: int) -> None:
        """A batch was read."""
        self._under_way[partition].append((end, oldest))
        self._oldest = oldest if self._oldest is None else min(self._oldest, oldest)

    def lost(self, partition: int) -> None:
        """The partition is another worker's."""
        self._under_way.pop(partition, None)

    def tell(self, states: Iterable[State], rows: int, size: int, now: int) -> None:
        """Sets what Prometheus is shown."""
        states = list(states)
        LAG.set(sum(max(one.end - (one.began if one.safe is None else one.safe), 0) for one in states))
        LAG_SECONDS.set(0 if self._oldest is None else max(now - self._oldest, 0) / 1000)
        self._oldest = None
        oldest = [at for one in states if (at := self._unfinished(one)) is not None]
        UNFINISHED.set(max(now - min(oldest), 0) / 1000 if oldest else 0)
        ROWS.set(rows)
        BYTES.set(size)

    def _unfinished(self, state: State) -> int | None:
        batches = self._under_way[state.partition]
        while batches and state.safe is not None and batches[0][0] <= state.safe:
            batches.popleft()
        return batches[0][1] if batches else None
