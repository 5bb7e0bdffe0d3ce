"""The whole line for a story: as real processes on the real broker, or in this process on the one in memory."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import requests

from pipeline import keys, topics
from pipeline.capture.answer import Rules
from pipeline.capture.following import Following
from pipeline.capture.listening import Ear, listening
from pipeline.capture.privacy import Privacy
from pipeline.capture.run import made, shared
from pipeline.console.run import serve
from pipeline.deliver.run import Deliver
from pipeline.enrich.run import build
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.kafka.seam import Kafka
from pipeline.settings import Settings

STAGES = ("capture", "enrich", "deliver", "console")


class Line(Protocol):
    """Where the line is reached."""

    @property
    def settings(self) -> Settings: ...

    @property
    def admin_key(self) -> str: ...

    def close(self) -> object: ...


class OverKafka(Line, Protocol):
    """A line whose Kafka can be asked."""

    @property
    def kafka(self) -> Kafka: ...


def ready(settings: Settings, stage: str) -> str:
    """Where a stage says that it is ready."""
    port = {
        "capture": settings.capture_port,
        "console": settings.console_port,
        "enrich": settings.metrics_port,
        "deliver": settings.metrics_port + 1,
    }[stage]
    return f"http://127.0.0.1:{port}/ready"


def wait_ready(settings: Settings, stages: Sequence[str] = STAGES) -> None:
    """Until all stages are ready; AssertionError after 60 s."""
    deadline = time.monotonic() + 60
    for stage in stages:
        while not says_yes(ready(settings, stage)):
            assert time.monotonic() < deadline, f"{stage} is not ready"
            time.sleep(0.05)


def says_yes(url: str) -> bool:
    """Whether that address answers 200."""
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process of its own is told them."""
    told = {name: value for name, value in os.environ.items() if not name.startswith("LOOPWIRE_")}
    for name, value in settings.model_dump(include=settings.model_fields_set).items():
        told[f"LOOPWIRE_{name.upper()}"] = _word(name, value)
    return told


def _word(name: str, value: Any) -> str:
    if name == "retry_ladder":
        return ",".join(topics.spelled(delay) for delay in value)
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, timedelta):
        return topics.spelled(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Processes:
    """Each stage a process of its own, as `loopwire <stage>` starts it."""

    def __init__(self, settings: Settings, stages: Sequence[str] = STAGES) -> None:
        self.settings = settings
        self.admin_key = settings.admin_key
        self.kafka: Kafka = Cluster(settings)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for stage in stages:
            self.start(stage)
        wait_ready(settings, stages)

    def start(self, stage: str) -> None:
        """Starts a stage."""
        command = [sys.executable, "-m", "pipeline", stage]
        self.running[stage] = subprocess.Popen(
            command, env=environment(self.settings), cwd=Path(__file__).parents[2], start_new_session=True
        )

    def kill(self, stage: str) -> None:
        """kill -9 of the stage, its workers included, as a machine that dies."""
        os.killpg(self.running[stage].pid, signal.SIGKILL)
        self.running[stage].wait()

    def close(self) -> None:
        """Stops all stages in order; AssertionError where one does not end well."""
        for process in self.running.values():
            process.terminate()
        codes = {stage: process.wait(30) for stage, process in self.running.items()}
        assert codes == dict.fromkeys(codes, 0)


class Threads:
    """Each stage on an event loop in a thread of this process, over one Kafka in memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.admin_key = settings.admin_key
        declared = topics.wanted(topics.read(), settings.topic_partitions, settings.retry_ladder)
        self.kafka: Kafka = Memory({topic.name: topic.partitions for topic in declared})
        self._stops: list[Callable[[], None]] = []
        for stage in (self._capture, self._enrich, self._deliver, self._console):
            self._run(stage)
        wait_ready(settings)

    def close(self) -> None:
        """Stops all stages."""
        for stop in self._stops:
            stop()

    def _run(self, stage: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.run_until_complete(stage(stop)), name=stage.__name__, daemon=True)
        thread.start()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30)
            loop.close()

        self._stops.append(end)

    async def _capture(self, stop: asyncio.Event) -> None:
        rules = Rules(keys.link_keys(self.settings), Privacy("full", (), b"x" * 32))
        capture = made(self.settings, self.kafka, rules, shared(1))
        Following(self.kafka, self.settings.tracking_url, None, capture.choose).start()
        ear = Ear(capture.hear, listening(self.settings))
        tasks = [asyncio.ensure_future(ear.serve()), asyncio.ensure_future(capture.run())]
        await stop.wait()
        ear.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _enrich(self, stop: asyncio.Event) -> None:
        app = build(self.settings, self.kafka)
        await app.start()
        await stop.wait()
        await app.stop()
        app.consumer._thread.thread_loop.close()  # type: ignore[attr-defined] # of Faust's own consumer, which is made and never started

    async def _deliver(self, stop: asyncio.Event) -> None:
        await Deliver(self.kafka, self.settings, keys.master_key(self.settings)).run(stop)

    async def _console(self, stop: asyncio.Event) -> None:
        await serve(self.settings, self.kafka, stop, lambda: None)
