"""Three brokers of which two must have each record: the loss of one loses nothing, and is hardly felt."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.topics import HITS
from tests.faults.capturing import Capture, capturing_on, check, readers_of
from tests.faults.readers import until
from tests.faults.three import answering, kill, leads, three_brokers, whole

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    with (
        three_brokers(tmp_path) as brokers,
        capturing_on(brokers, tmp_path / "data", topic_replication=3) as made,
    ):
        yield made


def test_each_of_three_brokers_may_be_killed_under_hits_and_nothing_is_lost(capture: Capture) -> None:
    until(lambda: whole(capture.brokers))
    with readers_of(capture).reading() as readers:
        for node, broker in enumerate(capture.brokers, 1):
            readers.more(1_000)
            assert leads(capture.brokers, HITS).get(node, 0) > 0
            kill(broker)
            readers.more(4_000)
            broker.start()
            until(lambda: answering(capture.brokers) == 3 and whole(capture.brokers), 120)
        readers.more(1_000)
        assert capture.ready()
    check(capture, readers)
    assert not readers.lost
    assert capture.figures()["lost"] == 0
