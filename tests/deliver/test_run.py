"""A fault of our own ends the worker, so that another begins below what was not done; it never hangs."""

import asyncio
from pathlib import Path

import pytest

from pipeline import topics
from pipeline.deliver.run import Deliver
from pipeline.kafka.memory import Memory
from tests.story.conftest import line_settings


class FaultError(Exception):
    """Thrown in by the test."""


def test_a_fault_in_a_callback_ends_the_worker_with_that_fault(tmp_path: Path) -> None:
    told = line_settings(tmp_path)
    declared = topics.wanted(topics.read(), told.topic_partitions, told.retry_ladder)
    kafka = Memory({topic.name: topic.partitions for topic in declared})

    def fail() -> None:
        raise FaultError

    async def work() -> None:
        deliver = Deliver(kafka, told, b"m" * 32)
        running = asyncio.ensure_future(deliver.run(asyncio.Event()))
        while not deliver.ready:  # noqa: ASYNC110 (it tells by a flag, as /ready does)
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.wait_for(running, 30)

    with pytest.raises(FaultError):
        asyncio.run(work())
    assert [group.members for group in kafka.groups.values()] == [[], []]
