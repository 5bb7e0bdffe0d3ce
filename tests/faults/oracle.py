"""What enrich should have written: a plain join over the topics as they stand, told from what it did write.

The hits that `traffic` writes say in `referer` which versions of their profile and mailing were acknowledged before
them. Any version from there on is right.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import TopicPartition

from pipeline import topics
from pipeline.kafka.seam import Kafka, Message, Offsets

# What a hit's own request tells is tried elsewhere; here any answer will do.
ABOUT_THE_REQUEST = {"machine", "signals", "client", "system", "device"}
CHANGES = {"create", "update", "delete"}
Rows = dict[str, list[dict[str, Any]]]  # key -> what each of its versions adds to an event, the first one first


class Seen(NamedTuple):
    """What a check found, for tests that ask more of it."""

    hits: int
    events: int
    duplicates: int
    dead: int
    changes: int


def dump(kafka: Kafka, topic: str) -> list[Message]:
    """All records of a topic, each partition in order."""
    count = kafka.partitions([topic])[topic]
    reader, found = kafka.reader(), list[Message]()
    try:
        reader.assign([TopicPartition(kafka.full(topic), number, 0) for number in range(count)])
        ended = set[int]()
        while len(ended) < count:
            for message in reader.consume(5000, 0.2):
                if message.error() is None:
                    found.append(message)
                else:
                    ended.add(message.partition() or 0)
    finally:
        reader.close()
    return found


def check(kafka: Kafka, told_from: Offsets) -> Seen:
    """AssertionError where something is missing, invented, out of order, or joined with what was outdated.

    `told_from` is where `profiles` ended at the first start: changes from there on are told.
    """
    profiles = dump(kafka, topics.PROFILES)
    told = _Told(_rows(profiles, _of_profile), _rows(dump(kafka, topics.TAGS), _of_mailing))
    for message in dump(kafka, topics.EVENTS):
        told.event(message)
    for message in dump(kafka, topics.HITS_DEAD):
        told.buried(message)
    hits = dump(kafka, topics.HITS)
    for message in hits:
        told.hit(message)
    told.nothing_else()
    changes = _changes(profiles, told_from)
    owed = Counter(change for place, change in changes.items() if place not in told.dead)
    assert owed <= Counter(told.changes.values()) <= Counter(changes.values()), "changes not told, or invented"
    return Seen(
        len(hits),
        len(told.order),
        sum(told.order.values()) - len(told.order),
        sum(told.dead.values()),
        len(told.changes),
    )


@dataclass
class _Told:
    profiles: Rows
    mailings: Rows
    events: defaultdict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    order: Counter[str] = field(
        default_factory=Counter
    )  # ids in the order of their first event, partition by partition
    dead: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    changes: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # id -> key, type, version
    _last: dict[tuple[int, str], int] = field(default_factory=dict)
    _hits: set[str] = field(default_factory=set)
    _buried: set[tuple[str, int, int]] = field(default_factory=set)

    def event(self, message: Message) -> None:
        event = msgspec.json.decode(message.value() or b"")
        assert message.key() == f"{event['account']}/{event['profile']}".encode()
        if event["type"] in CHANGES:
            version = event["fields"]["version"]
            self.changes[event["id"]] = (message.key() or b"").decode(), event["type"], version
            return
        self.events[event["id"]].append((message.partition() or 0, event))
        self.order[event["id"]] += 1

    def buried(self, message: Message) -> None:
        headers = dict(message.headers() or ())
        assert headers["reason"]
        self.dead[headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])] += 1

    def hit(self, message: Message) -> None:
        place = topics.HITS, message.partition() or 0, message.offset() or 0
        if place in self.dead:
            self._buried.add(place)
            return
        hit = msgspec.json.decode(message.value() or b"")
        key = (message.key() or b"").decode()
        self._hits.add(hit["id"])
        assert hit["id"] in self.events, f"missing: the event of {place}"
        needed = _needed(hit["referer"])
        for partition, event in self.events[hit["id"]]:
            assert partition == place[1]
            assert {name: event.get(name) for name in hit} == hit, "the hit passes as it is"
            added = {name: value for name, value in event.items() if name not in hit.keys() | ABOUT_THE_REQUEST}
            tags = {name: added.pop(name) for name in ("tags",) if name in added}
            assert added in _versions(self.profiles, key, needed[0]), f"outdated or bent: {added} at {place}"
            mailing = f"{hit['account']}/{hit['mailing']}"
            assert tags in _versions(self.mailings, mailing, needed[1]), f"outdated or bent: {tags} at {place}"
        self._in_order(place, key, hit["id"])

    def nothing_else(self) -> None:
        """What was written is of a hit that is there."""
        assert set(self.events) - self._hits == set(), "invented events"
        invented = {place for place in self.dead if place[0] == topics.HITS} - self._buried
        assert invented == set(), "invented dead letters"

    def _in_order(self, place: tuple[str, int, int], key: str, hit: str) -> None:
        """First events of one profile come as its hits do."""
        at = self._place_of_first[hit]
        assert at > self._last.get((place[1], key), -1), f"out of order: {place}"
        self._last[place[1], key] = at

    @cached_property
    def _place_of_first(self) -> dict[str, int]:
        return {hit: number for number, hit in enumerate(self.order)}


def _needed(referer: str) -> tuple[int, int]:
    profile, _, mailing = referer.partition("/")
    return int(profile), int(mailing)


def _versions(rows: Rows, key: str, needed: int) -> list[dict[str, Any]]:
    """What the versions from the needed one on add; version 0 is no row at all."""
    return [{}, *rows.get(key, [])][needed:]


def _rows(messages: list[Message], adds: Any) -> Rows:
    rows: Rows = defaultdict(list)
    for message in messages:
        value = message.value()
        rows[(message.key() or b"").decode()].append({} if value is None else adds(msgspec.json.decode(value)))
    return rows


def _changes(profiles: list[Message], told_from: Offsets) -> dict[tuple[str, int, int], tuple[str, str, int]]:
    """What is to be told, by place: key, type and the version; that of a profile that was erased is its last one."""
    now, found = dict[str, int](), dict[tuple[str, int, int], tuple[str, str, int]]()
    for message in profiles:
        key, value = (message.key() or b"").decode(), message.value()
        before = now.pop(key, None)
        if value is not None:
            now[key] = msgspec.json.decode(value)["fields"]["version"]
        place = topics.PROFILES, message.partition() or 0, message.offset() or 0
        if before == now.get(key) or place[2] < told_from[place[:2]]:
            continue
        kind = "delete" if value is None else "create" if before is None else "update"
        found[place] = key, kind, now.get(key) or before or 0
    return found


def _of_profile(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"recipient": row["email"], "fields": row["fields"]}


def _of_mailing(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"tags": row["tags"]}
