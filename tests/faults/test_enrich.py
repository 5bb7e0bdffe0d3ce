"""Enrich loses, invents and bends nothing, whatever happens to its workers and its broker: an oracle says so."""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import settings, topics
from pipeline.kafka.admin import Admin
from pipeline.kafka.murmur2 import partition_of
from pipeline.local import broker as local
from pipeline.local.broker import Broker
from tests.conftest import free_port
from tests.faults.workers import Stage, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PARTITIONS = 6
# A member that was killed is missed sooner than on the embedded broker, since tests wait for it.
QUICK = {"group.consumer.session.timeout.ms": "2000", "group.consumer.heartbeat.interval.ms": "500"}
ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    own = pytest.MonkeyPatch()
    for name, value in (QUICK | ACLS).items():
        own.setitem(local.QUICK, name, value)
    made = Broker(tmp_path_factory.mktemp("kafka"), free_port(2))
    try:
        made.start()
        made.wait_ready()
        yield made
    finally:
        made.stop()
        own.undo()


@contextmanager
def staged(broker: Broker, folder: Path, partitions: int = PARTITIONS, store: str = "memory") -> Iterator[Stage]:
    """A stage with topics of its own, its rows known."""
    own = settings.read(
        kafka=broker.bootstrap,
        topic_prefix=f"f{secrets.token_hex(4)}-",
        topic_partitions=partitions,
        table_store=store,
        data=folder / "data",
    )
    admin = Admin(own)
    admin.apply(admin.plan())
    stage = Stage(own, folder)
    try:
        stage.traffic.know()
        yield stage
    finally:
        stage.destroy()


@pytest.fixture
def stage(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with staged(broker, tmp_path, store=getattr(request, "param", "memory")) as made:
        yield made


both_stores = pytest.mark.parametrize("stage", ["memory", "disk"], indirect=True)


@both_stores
def test_kill_9_in_mid_batch_ten_times(stage: Stage) -> None:
    in_the_middle = 0
    worker = stage.ready()
    for _ in range(10):
        before = stage.written()
        stage.traffic.some(600)
        stage.traffic.flush()
        until(lambda before=before: stage.written() > before)  # type: ignore[misc]
        os.kill(worker.process.pid, signal.SIGSTOP)  # so that it stays as we look at it
        in_the_middle += stage.behind() > 0
        worker.kill()
        worker = stage.start()
    seen = stage.finish()
    assert seen.hits == seen.events == 6000
    assert in_the_middle, "no kill met a worker with something under way"


@both_stores
def test_one_worker_three_one_under_load(stage: Stage) -> None:
    first = stage.ready()
    with stage.traffic.flowing():
        others = [stage.start(), stage.start()]
        for other in others:
            other.wait_ready()
        until(lambda: stage.traffic.written > 6000)
        assert [other.stop() for other in others] == [0, 0]
        written = stage.traffic.written
        until(lambda: stage.traffic.written > written + 2000)
    seen = stage.finish()
    assert seen.hits == seen.events == stage.traffic.written
    assert seen.duplicates == 0, "partitions that are given up in order are handed over whole"
    assert first.process.returncode == 0


def test_a_double_rebalance(stage: Stage) -> None:
    stage.ready()
    with stage.traffic.flowing():
        for _ in range(3):
            one, other = stage.start(), stage.start()
            until(lambda one=one, other=other: one.joined or other.joined)  # type: ignore[misc]
            one.kill()  # while the partitions are still on their way
            third = stage.start()
            until(lambda third=third: third.joined)  # type: ignore[misc]
            assert third.stop() == 0
            other.kill()
        until(lambda: stage.traffic.written > 6000)
    seen = stage.finish()
    assert seen.hits == seen.events == stage.traffic.written


@pytest.mark.parametrize("how", ["in order", "kill -9"])
def test_a_broker_that_starts_anew_under_load(broker: Broker, stage: Stage, how: str) -> None:
    stage.ready()
    stage.ready()
    with stage.traffic.flowing():
        until(lambda: stage.traffic.written > 2000)
        if how == "kill -9":
            os.kill(broker.pid or 0, signal.SIGKILL)
            until(lambda: not broker.alive)
        broker.stop()
        broker.start()
        broker.wait_ready()
        written = stage.traffic.written
        until(lambda: stage.traffic.written > written + 2000)
    seen = stage.finish()
    assert seen.hits == seen.events == stage.traffic.written


def test_partitions_that_are_empty_and_one_that_fills_after_it_moved(stage: Stage) -> None:
    places = {key: partition_of(key.encode(), PARTITIONS) for key in stage.traffic.profiles}
    some = [key for key, number in places.items() if number in {0, 5}]
    late = [key for key, number in places.items() if number == 2]
    stage.ready()
    for number in range(2000):
        stage.traffic.hit(some[number % len(some)])
    stage.traffic.flush()
    until(lambda: stage.behind() == 0)
    stage.ready()
    stage.ready()
    for number in range(1000):
        stage.traffic.hit(late[number % len(late)])
    stage.traffic.flush()
    assert stage.finish()[:3] == (3000, 3000, 0)


def test_a_spare_worker_says_that_it_is_ready_and_takes_over(broker: Broker, tmp_path: Path) -> None:
    with staged(broker, tmp_path, partitions=1) as stage:
        workers = [stage.ready(), stage.ready()]
        stage.traffic.some(500)
        stage.traffic.flush()
        until(lambda: stage.behind() == 0)
        # The newcomer may have been given the partition; whoever has none said all the same that it is ready.
        owner, spare = sorted(workers, key=lambda one: one.metric("loopwire_enrich_hits_total"), reverse=True)
        assert spare.metric("loopwire_enrich_hits_total") == 0
        until(lambda: spare.ready)
        owner.kill()
        stage.traffic.some(500)
        stage.traffic.flush()
        until(lambda: stage.behind() == 0)
        assert spare.metric("loopwire_enrich_hits_total") >= 500
        until(lambda: spare.metric("loopwire_enrich_lag_records") == 0)
        assert spare.metric("loopwire_enrich_table_rows") > 50
        assert spare.metric("loopwire_enrich_table_bytes") > 1000
        until(lambda: spare.metric("loopwire_enrich_commit_seconds_count") >= 1)
        seen = stage.finish()
    assert seen.hits == seen.events == 1000


@both_stores
def test_a_partition_moves_with_its_table_and_what_changed_meanwhile_is_known_when_it_comes_back(stage: Stage) -> None:
    stage.ready()
    for _ in range(3):
        stage.traffic.some(500)
        stage.traffic.flush()
        other = stage.ready()
        stage.traffic.some(500)
        stage.traffic.flush()
        until(lambda: stage.behind() == 0)
        for key in stage.traffic.profiles:
            stage.traffic.change(topics.PROFILES, key)  # known to the owner alone, or to both
        stage.traffic.flush()
        other.kill()
        stage.traffic.some(500)
        stage.traffic.flush()
        until(lambda: stage.behind() == 0)
    seen = stage.finish()
    assert seen.hits == seen.events == 4500


def test_sigterm_under_load_drains_and_commits(stage: Stage) -> None:
    worker = stage.ready()
    with stage.traffic.flowing(4000):
        for _ in range(4):
            written = stage.traffic.written
            until(lambda written=written: stage.traffic.written > written + 1000)  # type: ignore[misc]
            assert worker.stop() == 0
            worker = stage.ready()
    seen = stage.finish()
    assert seen.hits == seen.events == stage.traffic.written
    assert seen.duplicates == 0


def test_what_the_broker_refuses_for_its_size_is_a_dead_letter_and_what_came_with_it_is_not(stage: Stage) -> None:
    worker = stage.ready()
    stage.traffic.some(500)
    stage.traffic.flush()
    until(lambda: stage.behind() == 0)
    stage.configure(topics.EVENTS, "max.message.bytes", "20000")  # while it runs
    stage.traffic.hit(useragent=secrets.token_hex(15_000))
    stage.traffic.flush()
    until(lambda: stage.behind() == 0)
    assert worker.process.poll() is None
    assert stage.written(topics.HITS_DEAD) == 1
    stage.traffic.some(1000)
    stage.traffic.hit(useragent=secrets.token_hex(15_000))
    stage.traffic.some(1000)
    stage.traffic.flush()
    seen = stage.finish()
    assert worker.process.returncode == 0
    assert (seen.hits, seen.events, seen.dead) == (2502, 2500, 2)
    foreseen, refused = sorted(stage.reasons())
    assert foreseen.startswith("event: would be 30")
    assert refused == "events: Broker: Message size too large"


def test_a_limit_that_is_lowered_under_load_loses_nothing_and_bends_no_order(stage: Stage) -> None:
    worker = stage.ready()
    for largest in (20_000, 10_000, 5_000, 2_500, 1_500):
        stage.traffic.some(3000)
        stage.configure(topics.EVENTS, "max.message.bytes", str(largest))  # while they are on their way
    stage.traffic.some(3000)
    stage.traffic.flush()
    seen = stage.finish()
    assert worker.process.returncode == 0
    assert "kafka refused events" in worker.said
    assert (seen.hits, seen.dead) == (seen.events, 0)


def test_a_right_that_comes_and_goes_under_load_loses_nothing_and_bends_no_order(stage: Stage) -> None:
    worker = stage.ready(bad_share=1, bad_in_row=0)
    with stage.traffic.flowing(1000):
        for _ in range(5):
            letters = stage.written(topics.HITS_DEAD)
            stage.forbid(topics.EVENTS)
            until(lambda letters=letters: stage.written(topics.HITS_DEAD) > letters)  # type: ignore[misc]
            stage.allow(topics.EVENTS)
            events = stage.written()
            until(lambda events=events: stage.written() > events)  # type: ignore[misc]
    seen = stage.finish()
    assert worker.process.returncode == 0
    assert seen.duplicates == 0
    assert seen.dead >= 5


def test_a_stage_that_stops_amid_refusals_commits_and_leaves_nothing_out(stage: Stage) -> None:
    assert stage.ready().stop() == 0  # changes from here on are told
    with stage.traffic.flowing(2000):
        for _ in range(4):
            stage.configure(topics.EVENTS, "max.message.bytes", "1048588")
            worker = stage.ready(bad_share=1, bad_in_row=0)
            stage.configure(topics.EVENTS, "max.message.bytes", "1300")
            until(lambda worker=worker: "kafka refused events" in worker.said)  # type: ignore[misc]
            assert worker.stop() == 0
    stage.ready()
    stage.finish()


def test_what_we_may_not_write_is_a_dead_letter_until_it_is_too_much(stage: Stage) -> None:
    worker = stage.ready()
    stage.traffic.some(300)
    stage.traffic.flush()
    until(lambda: stage.behind() == 0)
    stage.forbid(topics.EVENTS)
    key = stage.traffic.profiles[0]
    stage.traffic.hit(key)
    stage.traffic.flush()
    until(lambda: stage.written(topics.HITS_DEAD) == 1)
    until(lambda: stage.behind() == 0)
    for _ in range(500):
        stage.traffic.hit(key)
    stage.traffic.flush()
    assert worker.process.wait(30) == 1
    assert "hits in a row on partition" in worker.said
    again = stage.start()
    assert again.process.wait(30) == 1
    assert stage.written(topics.HITS_DEAD) == 1, "a restart leaks nothing into the dead letters"
    stage.allow(topics.EVENTS)
    stage.start()
    seen = stage.finish()
    assert (seen.hits, seen.events, seen.dead) == (801, 800, 1)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_worker_that_meets_too_much_that_is_bad_stops_and_its_restarts_leak_nothing(
    stage: Stage, share: float
) -> None:
    stage.traffic.some(500)
    for number in range(3000):
        if number % 10 < share * 10:
            stage.traffic.raw(stage.traffic.profiles[number % 60].encode(), b"no hit")
        else:
            stage.traffic.hit()
    stage.traffic.flush()
    dead = list[int]()
    for _ in range(4):
        worker = stage.start()
        assert worker.process.wait(30) == 1
        line = next(line for line in worker.said.splitlines() if "enrich stops" in line)
        assert "value: JSON is malformed" in line
        assert "Traceback" not in worker.said
        dead.append(stage.written(topics.HITS_DEAD))
    assert dead[-1] == dead[0] <= 500
    stage.start(bad_share=1, bad_in_row=0)
    seen = stage.finish()
    assert (seen.hits, seen.dead) == (3500, 3000 * share)


def test_keys_that_are_placed_otherwise_are_refused_at_the_start_and_dead_letters_later(stage: Stage) -> None:
    key = stage.traffic.profiles[0]
    wrong = (partition_of(key.encode(), PARTITIONS) + 1) % PARTITIONS
    stage.ready()
    stage.traffic.hit("shop/unknown")
    for number in range(30):
        stage.traffic.hit(f"shop/unknown-{number}")
    stage.traffic.hit(key, partition=wrong)
    stage.traffic.hit("shop/unknown", partition=wrong)
    stage.traffic.flush()
    seen = stage.finish()
    assert (seen.hits, seen.dead) == (33, 1 + (partition_of(b"shop/unknown", PARTITIONS) != wrong))
    for _ in range(5):
        stage.traffic.row(key, partition=wrong)
    stage.traffic.flush()
    worker = stage.start()
    assert worker.process.wait(30) == 1
    prefix = stage.settings.topic_prefix
    assert f"{prefix}profiles [{wrong}] holds the key {key}, which murmur2 places into" in worker.said
    assert "Traceback" not in worker.said
