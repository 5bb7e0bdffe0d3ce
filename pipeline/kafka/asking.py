"""What a cluster is asked: its topics, how they are kept, where partitions begin and end, how far a group is."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)

from pipeline.kafka.allowed import forbidden_of
from pipeline.kafka.making import common, made
from pipeline.kafka.refusal import FORBIDDEN, NOBODY, forbidden, is_unbelieved, unanswered
from pipeline.kafka.seam import Offsets, Place, Right
from pipeline.settings import Settings

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
Question = Callable[[confluent_kafka.Consumer], list[TopicPartition]]

QUESTION_SECONDS = 10.0
# The first question to a cluster, so long each time: who is not let in knows it after the first.
METADATA_SECONDS = (1.0, 3.0, 6.0)
HEARD = 20  # errors that are kept of what hinders a question
# When the leader it knew is gone, librdkafka answers a ListOffsets only at the end of its time; usually it takes 1 ms.
OFFSETS_SECONDS = 2.0
LATEST, EARLIEST = -1, -2  # as Kafka's ListOffsets has them, in place of a time
COMMITTED, UNDECIDED = "read_committed", "read_uncommitted"  # our readers read the former: the rest may be undone
# A client would know a lost broker as its partitions' leader for 5 minutes, and each ListOffsets take 10 s.
FRESH = {"topic.metadata.refresh.interval.ms": 1000}
# Each attempt to connect leaves a word that only a question clears away; who is not answered is asked by a new one.
SELDOM = {"reconnect.backoff.max.ms": 10_000}
READER = "loopwire-reader"  # a group that nobody is a member of
RETRY_SECONDS = 0.1
SPREAD_SECONDS = 3.0  # until every broker knows of a topic that was just made
PATIENCE_SECONDS = 60.0  # a broker that is away so long is told of by the end of the process
PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._NOENT,  # noqa: SLF001
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 (of partitions that all have no leader just now)
        KafkaError._RESOLVE,  # noqa: SLF001 (where brokers are pods, a name goes and comes with its pod)
        KafkaError._DESTROY_BROKER,  # noqa: SLF001 (it was asked when it left the cluster)
        KafkaError._TIMED_OUT,  # noqa: SLF001
    }
)


def _never() -> bool:
    return False


def patiently(
    question: Callable[[], Answer], again: Callable[[], None], hurried: Callable[[], bool] = _never
) -> Answer:
    """The answer to a question put to the cluster, asked again, after `again`, while what hinders it may pass.

    A leader moves, a topic is new, a broker starts: KafkaException once that took 60 s, or at once when `hurried`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return question()
        except (KafkaException, TimeoutError) as failed:
            passes = isinstance(failed, TimeoutError) or failed.args[0].code() in PASSING
            if not passes or hurried() or time.monotonic() > deadline:
                raise
            again()
            time.sleep(RETRY_SECONDS)


class Asking:
    """A Kafka cluster, as far as it answers questions. Any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._admin_client: AdminClient | None = None
        self._askers: dict[tuple[str, str], confluent_kafka.Consumer] = {}
        self._hurried = False
        self._heard = deque[KafkaError](maxlen=HEARD)
        self._met = False  # it answered once
        self._unknown: set[str] = set()  # topics of which we may not know how they are kept

    def hurry(self) -> None:
        self._hurried = True

    def _is_hurried(self) -> bool:
        return self._hurried

    def full(self, topic: str) -> str:
        return self._prefix + topic

    def bare(self, topic: str) -> str:
        return topic[len(self._prefix) :]

    def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        wanted = list(topics)
        deadline = time.monotonic() + SPREAD_SECONDS
        while True:
            known = self._metadata().topics
            counts = {topic: len(known[self.full(topic)].partitions) for topic in wanted if self.full(topic) in known}
            missing = [topic for topic in wanted if not counts.get(topic)]
            if not missing:
                return counts
            if time.monotonic() > deadline:
                self._check_seen(self.full(missing[0]))
                reason = f"there is no topic {self.full(missing[0])}: run loopwire topics apply"
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, reason))
            time.sleep(RETRY_SECONDS)

    def topics(self) -> list[str]:
        known = self._metadata().topics
        return sorted(self.bare(name) for name in known if name.startswith(self._prefix))

    def ends(self, places: Iterable[Place], *, undecided: bool = False) -> Offsets:
        return self._offsets(places, LATEST, UNDECIDED if undecided else COMMITTED)

    def starts(self, places: Iterable[Place]) -> Offsets:
        return self._offsets(places, EARLIEST)

    def identity(self, topic: str) -> str:
        def answered() -> str:
            client, names = self._admin, TopicCollection([self.full(topic)])
            [answer] = client.describe_topics(names, request_timeout=QUESTION_SECONDS).values()
            return str(answer.result(2 * QUESTION_SECONDS).topic_id)

        return patiently(answered, self._ask_anew, self._is_hurried)

    def config(self, topic: str) -> Mapping[str, str]:
        def answered() -> Mapping[str, str]:
            client, asked = self._admin, ConfigResource(ResourceType.TOPIC, self.full(topic))
            [answer] = client.describe_configs([asked], request_timeout=QUESTION_SECONDS).values()
            return {name: str(entry.value) for name, entry in answer.result(2 * QUESTION_SECONDS).items()}

        try:
            return patiently(answered, self._ask_anew, self._is_hurried)
        except KafkaException as refused:
            if refused.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
            why = forbidden(refused.args[0], "DESCRIBE_CONFIGS", f"topic {self.full(topic)}")
            if topic not in self._unknown:
                log.warning("kafka: %s; its settings are taken to be Kafka's own", why.str())
            self._unknown.add(topic)
            return {}

    def lacking(self, rights: Iterable[Right]) -> list[Right]:
        asked = list(rights)
        self._metadata()  # says soonest why it is not answered
        full = {one: one._replace(name=self.full(one.name)) for one in asked}
        found = patiently(lambda: forbidden_of(self._admin, full.values()), self._ask_anew, self._is_hurried)
        return [one for one in asked if full[one] in found]

    def since(self, places: Iterable[Place], milliseconds: int) -> Offsets:
        asked = list(places)
        found = self._offsets(asked, max(milliseconds, 0))
        none = [place for place, offset in found.items() if offset < 0]
        return found | self.ends(none)

    def committed(self, group: str, places: Iterable[Place]) -> Offsets:
        asked = [TopicPartition(self.full(topic), number) for topic, number in places]
        found = self._asked(asked, group, COMMITTED, lambda asker: asker.committed(asked, QUESTION_SECONDS))
        return {place: offset for place, offset in found.items() if offset >= 0}

    def _metadata(self, topic: str | None = None) -> ClusterMetadata:
        """The cluster as it is now; KafkaException says as well as can be why it does not answer."""
        self._admin.poll(0)  # what was told before is of no matter,
        if self._met or any(error.code() != NOBODY for error in tuple(self._heard)):
            self._heard.clear()  # but that nobody lets us in is told but once
        for seconds in METADATA_SECONDS:
            client = self._admin
            try:
                found = client.list_topics(topic, seconds)
                self._met = True
                return found
            except KafkaException as failed:
                client.poll(0)  # fills `_heard`
                why = unanswered(failed, tuple(self._heard), met=self._met)
            if is_unbelieved(why):
                break
        raise why

    def _check_seen(self, topic: str) -> None:
        """KafkaException where a topic seems to be missing since we may not see it."""
        error = self._metadata(topic).topics[topic].error
        if error is not None and error.code() in FORBIDDEN:
            raise KafkaException(forbidden(error, "DESCRIBE", f"topic {topic}"))

    def _offsets(self, places: Iterable[Place], time: int, level: str = COMMITTED) -> Offsets:
        """`time` is LATEST, EARLIEST or Unix milliseconds; -1 is the offset of a time after the last record's."""
        asked = [TopicPartition(self.full(topic), number, time) for topic, number in places]
        return self._asked(asked, READER, level, lambda asker: asker.offsets_for_times(asked, OFFSETS_SECONDS))

    def _asked(self, asked: list[TopicPartition], group: str, level: str, question: Question) -> Offsets:
        """What the cluster says to a question about these partitions."""

        def answered() -> Offsets:
            asker = self._asker(group, level)
            try:
                found = question(asker)
            except KafkaException as refused:
                told = asker.poll(0)
                raise self._reason(refused, asked, told.error() if told is not None else None, group) from refused
            finally:
                asker.poll(0)  # else what it has to say of brokers that are away would pile up
            for at in found:
                if at.error is not None:
                    raise KafkaException(forbidden(at.error, "DESCRIBE", f"topic {at.topic}"))
            return {(self.bare(at.topic), at.partition): at.offset for at in found}

        def anew() -> None:
            self._askers.pop((group, level), None)

        return patiently(answered, anew, self._is_hurried) if asked else {}

    def _asker(self, group: str, level: str) -> confluent_kafka.Consumer:
        """A consumer that is no member of the group, reads nothing, and asks for offsets.

        An admin client would do for both questions, but takes five times the CPU for where topics end, which is asked
        for each batch; and for a group's offsets it ends the process where the coordinator has just moved (SIGSEGV,
        librdkafka issue 5040).
        """
        asker = self._askers.get((group, level))  # two threads may ask, and either may want it anew
        if asker is None:
            config = {"group.id": self._prefix + group, "enable.auto.commit": False, "isolation.level": level}
            asker = made(confluent_kafka.Consumer, common(self._settings) | FRESH | SELDOM | config)
            self._askers[group, level] = asker
        return asker

    def _reason(
        self, refused: KafkaException, asked: list[TopicPartition], told: KafkaError | None, group: str
    ) -> KafkaException:
        """librdkafka says "unknown partition" where none has a leader, whatever the reason: that is asked for.

        Of a group that it may not know of it is `told`, and lets who asks wait in vain.
        """
        if told is not None and told.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and group != READER:
            return KafkaException(forbidden(told, "DESCRIBE", f"group {self.full(group)}"))
        if refused.args[0].code() != KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001
            return refused
        known = [self._metadata(topic).topics for topic in {at.topic for at in asked}]
        errors = [
            forbidden(topic.error, "DESCRIBE", f"topic {name}")
            for topics in known
            for name, topic in topics.items()
            if topic.error is not None
        ]
        return KafkaException(errors[0]) if errors else refused

    def _ask_anew(self) -> None:
        """An admin client keeps the leader epochs it learned, and after a broker's restart is refused for ever."""
        self._admin_client = None

    @property
    def _admin(self) -> AdminClient:
        client = self._admin_client  # two threads may ask, and either may want it anew
        if client is None:
            config = common(self._settings) | FRESH | {"error_cb": self._heard.append}
            client = self._admin_client = made(AdminClient, config)
        return client
