"""Many records become one transaction: which rows, which counts, and where reading goes on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.console.store.latency import BUCKETS
from pipeline.console.store.schema import BUCKET_NAMES
from pipeline.console.store.told import Row, Skipped, read
from pipeline.record import Message

MINUTE = 60_000_000  # in microseconds
SPANS = (1, 60)  # minutes

Partitions = dict[int, int]


class Batch(NamedTuple):
    """`expected` and `then` are the next offset of each partition, before and after. All else is rows of tables."""

    expected: Partitions
    then: Partitions
    attempts: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    skipped: list[Skipped]
    read: int


def batch_of(messages: Iterable[Message], position: Mapping[int, int], successes: int) -> Batch:
    """What the records come to. `position` is the next offset of each partition; records before it are passed over.

    Of each loop the newest `successes` delivered ones are kept, which the rest would soon have to make room for.
    """
    then: Partitions = {}
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for message in messages:
        partition, offset = message.partition() or 0, message.offset() or 0
        if offset < then.get(partition, position[partition]):
            continue
        then[partition] = offset + 1
        found = read(message)
        if isinstance(found, Row):
            rows.append(found)
        else:
            skipped.append(found)
    expected = {partition: position[partition] for partition in then}
    return Batch(expected, then, _kept(rows, successes), _counts(rows), skipped, len(rows) + len(skipped))


def refused(messages: Iterable[Message], position: Mapping[int, int], reason: str) -> Batch:
    """The same records, all skipped for a reason."""
    batch = batch_of(messages, position, 0)
    numbers = [row["id"] for row in batch.attempts] + [one.id for one in batch.skipped]
    skipped = [Skipped(number, reason) for number in numbers]
    return batch._replace(attempts=[], counts=[], skipped=skipped)


def _kept(rows: list[Row], successes: int) -> list[dict[str, Any]]:
    delivered: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    kept: list[dict[str, Any]] = []
    for row in rows:
        (kept if row.values["failed"] else delivered[row.values["loop"]]).append(row.values)
    for of_loop in delivered.values():
        kept += sorted(of_loop, key=lambda row: (row["at"], row["id"]))[-successes:] if successes else of_loop
    return kept


def _counts(rows: list[Row]) -> list[dict[str, Any]]:
    names = ("loop", "account", "span", "slot", "state", "type")
    found: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * BUCKETS)
    for values, bucket in rows:
        minute = values["at"] // MINUTE
        for span in SPANS:
            slot = minute - minute % span
            found[values["loop"], values["account"], span, slot, values["state"], values["type"]][bucket] += 1
    return [
        dict(zip(names, key, strict=True)) | dict(zip(BUCKET_NAMES, counts, strict=True))
        for key, counts in sorted(found.items())
    ]
