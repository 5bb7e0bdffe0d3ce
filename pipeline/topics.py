"""Reads topics/: which topics there are, who shares a key space, how long each is kept."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data import folder
from pipeline.model.contracts import CONTRACTS
from pipeline.settings import duration

HITS = "hits"
HITS_DEAD = "hits-dead"
PROFILES = "profiles"
TAGS = "tags"
EVENTS = "events"
ACCOUNTS = "accounts"
LOOPS = "loops"
LOOP_STATES = "loop-states"
DELIVERIES = "deliveries"
BATCHES = "batches"
DELIVERIES_RETRY = "deliveries-retry"
DELIVERIES_DEAD = "deliveries-dead"
REPLAYS = "replays"
REPLAY_STATES = "replay-states"
ATTEMPTS = "attempts"

Family = Literal["profile", "loop"]


class TopicError(Exception):
    """A file in topics/ that can't be used; the message names file and field."""


class Topic(BaseModel):
    """One file of topics/. Topics of one `family` have one partition count and one key space."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: str
    description: str
    key: str
    value: str | None = None
    family: Family | None = None
    partitions: int | None = Field(None, ge=1)
    compacted: bool = False
    kept: str | None = None
    per_delay: bool = False
    retry: str | None = None
    dead: str | None = None
    config: dict[str, int | str] = {}


class Wanted(NamedTuple):
    """One topic as the cluster should have it; `name` is bare."""

    name: str
    partitions: int
    config: dict[str, str]


def read(where: Path | None = None) -> dict[str, Topic]:
    """Every topic by name, sorted; TopicError names the file and the field that is wrong."""
    topics = {
        path.stem: _one(path) for path in sorted((where or folder("topics")).glob("*.yaml"), key=lambda path: path.stem)
    }
    for topic in topics.values():
        _check(topic, topics)
    return topics


def wanted(topics: dict[str, Topic], partitions: int, ladder: tuple[timedelta, ...]) -> list[Wanted]:
    """What a cluster should have: every topic, the retry topic once for each delay of the ladder."""
    return [
        Wanted(name, topic.partitions or partitions, _config(topic, delay))
        for topic in topics.values()
        for name, delay in _names(topic, ladder)
    ]


def family(topics: dict[str, Topic], which: Family) -> list[str]:
    """The names of the topics that share a key space."""
    return [topic.name for topic in topics.values() if topic.family == which]


def retry_topic(delay: timedelta) -> str:
    """`deliveries-retry-5m`: equal delays share a topic, however they are spelled."""
    return f"{DELIVERIES_RETRY}-{spelled(delay)}"


def spelled(delay: timedelta) -> str:
    """A delay in its largest whole unit of hours, minutes or seconds: 24h, 90s."""
    seconds = int(delay.total_seconds())
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _one(path: Path) -> Topic:
    try:
        return Topic.model_validate({"name": path.stem} | (yaml.safe_load(path.read_text()) or {}))
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        raise TopicError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from wrong
    except (yaml.YAMLError, TypeError) as wrong:
        raise TopicError(f"{path.name}: is not a YAML mapping: {wrong}") from wrong


def _check(topic: Topic, topics: dict[str, Topic]) -> None:
    if topic.value is not None and topic.value not in CONTRACTS:
        raise TopicError(f"{topic.name}.yaml: value: no contract is called {topic.value}")
    if topic.family and topic.partitions:
        raise TopicError(f"{topic.name}.yaml: partitions: family {topic.family} has one count for all its topics")
    if not topic.compacted and topic.kept is None:
        raise TopicError(f"{topic.name}.yaml: kept: say for how long, or compacted: true")
    try:
        duration(topic.kept or "7d")
    except ValueError as wrong:
        raise TopicError(f"{topic.name}.yaml: kept: {wrong}") from wrong
    for field, name in (("retry", topic.retry), ("dead", topic.dead)):
        if name is not None and name not in topics:
            raise TopicError(f"{topic.name}.yaml: {field}: there is no {name}.yaml")


def _names(topic: Topic, ladder: tuple[timedelta, ...]) -> list[tuple[str, timedelta]]:
    if not topic.per_delay:
        return [(topic.name, timedelta(0))]
    return [(retry_topic(delay), delay) for delay in sorted(set(ladder))]


def _config(topic: Topic, delay: timedelta) -> dict[str, str]:
    policy = [word for word, is_so in (("compact", topic.compacted), ("delete", topic.kept)) if is_so]
    retention = _milliseconds(duration(topic.kept) + delay) if topic.kept else "-1"
    own = {name: str(value) for name, value in topic.config.items()}
    return {"cleanup.policy": ",".join(policy), "retention.ms": retention} | own


def _milliseconds(span: timedelta) -> str:
    return str(round(span.total_seconds() * 1000))
