"""Enrich workers as real processes on a real broker, for tests that kill, stop and add them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from pipeline import topics
from pipeline.enrich.feeding import GROUP
from pipeline.kafka.client import Cluster
from pipeline.kafka.seam import Offsets, Place
from pipeline.local.broker import QUIET
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.faults import oracle
from tests.faults.traffic import Traffic
from tests.story.lines import environment

ANYBODY = "User:ANONYMOUS", "*"  # and any address
ROOT = Path(__file__).parents[2]


def until(holds: Callable[[], bool], seconds: float = 60, why: str = "the condition did not come true") -> None:
    """Returns when it holds; AssertionError where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{why} in {seconds} s"
        time.sleep(0.005)


class Worker:
    """One `loopwire enrich`; what it says goes to a file."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        data = settings.data if settings.table_store == "disk" else folder  # one machine's workers share their tables
        self.settings = settings.model_copy(update={"metrics_port": free_port(), "data": data})
        folder.mkdir(parents=True, exist_ok=True)
        self._said = folder / "said"
        with self._said.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", "enrich"],
                env=environment(self.settings), cwd=ROOT, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """All its lines."""
        return self._said.read_text()

    @property
    def ready(self) -> bool:
        """What /ready says."""
        try:
            return requests.get(f"{self._url}/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    @property
    def joined(self) -> bool:
        """Whether it ever was given partitions."""
        return "are ours" in self.said

    def metric(self, name: str) -> float:
        """A metric without labels."""
        text = requests.get(f"{self._url}/metrics", timeout=5).text
        [value] = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(value)

    def wait_ready(self) -> None:
        """Until /ready says 200."""
        until(lambda: self.ready or self.process.poll() is not None, why="enrich is not ready")
        assert self.process.poll() is None, self.said

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(30)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.settings.metrics_port}"


class Stage:
    """The topics of one test, the traffic in them, and the workers on them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.kafka = Cluster(settings)
        self._admin = AdminClient({"bootstrap.servers": settings.bootstrap, **QUIET})
        self.traffic = Traffic(self.kafka)
        self.workers: list[Worker] = []
        self._folder = folder
        self._told_from: Offsets | None = None

    def places(self, topic: str) -> list[Place]:
        """All partitions of a topic."""
        return [(topic, number) for number in range(self.settings.topic_partitions)]

    def start(self, **more: Any) -> Worker:
        """One more worker; returns at once."""
        if self._told_from is None:
            self._told_from = self.kafka.ends(self.places(topics.PROFILES))
        settings = self.settings.model_copy(update=more)
        self.workers.append(Worker(settings, self._folder / f"worker-{len(self.workers)}"))
        return self.workers[-1]

    def ready(self, **more: Any) -> Worker:
        """One more worker; returns when it is ready."""
        worker = self.start(**more)
        worker.wait_ready()
        return worker

    def written(self, topic: str = topics.EVENTS) -> int:
        """How many records a topic of one count holds."""
        return sum(self.kafka.ends(self.places(topic)).values())

    def behind(self) -> int:
        """How many hits are not committed."""
        places = self.places(topics.HITS)
        ends, committed = self.kafka.ends(places), self.kafka.committed(GROUP, places)
        return sum(end - committed.get(place, 0) for place, end in ends.items())

    def reasons(self) -> set[str]:
        """Why what is in the dead letters is there."""
        letters = oracle.dump(self.kafka, topics.HITS_DEAD)
        return {dict(letter.headers() or ())["reason"].decode() for letter in letters}

    def configure(self, topic: str, name: str, value: str) -> None:
        """Changes one setting of a topic."""
        change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.kafka.full(topic), incremental_configs=[change])
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result()

    def forbid(self, topic: str) -> None:
        """Nobody may write the topic any more, until `allow`; all else everybody may."""
        rules = [_rule(self.kafka.full(topic), AclOperation.ALL, AclPermissionType.ALLOW),
                 _rule(self.kafka.full(topic), AclOperation.WRITE, AclPermissionType.DENY)]  # fmt: skip
        for done in self._admin.create_acls(rules).values():
            done.result()

    def allow(self, topic: str) -> None:
        """Takes that back."""
        every = AclBindingFilter(
            ResourceType.TOPIC, self.kafka.full(topic), ResourcePatternType.LITERAL, *ANYBODY,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip
        for done in self._admin.delete_acls([every]).values():
            done.result()

    def finish(self) -> oracle.Seen:
        """Waits until all is committed, ends the workers, tells what was found."""
        try:
            until(lambda: self.behind() == 0, 90, "the hits were not all joined")
        except AssertionError as late:
            raise AssertionError(f"{late}: {self._stand()}") from late
        last = self.kafka.ends(self.places(topics.PROFILES))
        until(lambda: all(self.kafka.committed(GROUP, [place]).get(place, 0) >= end for place, end in last.items()
                          if end), 60, "changes were not all told")  # fmt: skip
        self.close()
        assert self._told_from is not None
        return oracle.check(self.kafka, self._told_from)

    def _stand(self) -> str:
        """How far all is, for whoever reads of a failure."""
        places = self.places(topics.HITS)
        running = [one for one in self.workers if one.process.poll() is None]
        names = [
            f"loopwire_enrich_{name}" for name in ("hits_total", "events_total", "lag_records", "unfinished_seconds")
        ]
        shown = [[one.metric(name) for name in names] for one in running]
        return f"{self.kafka.committed(GROUP, places)} of {self.kafka.ends(places)}, {self.written()} events, {shown}"

    def close(self) -> None:
        """Ends the workers that still run."""
        codes = [worker.stop() for worker in self.workers if worker.process.poll() is None]
        assert codes == [0] * len(codes)

    def destroy(self) -> None:
        """kill -9 of what a test left."""
        for worker in self.workers:
            if worker.process.poll() is None:
                os.kill(worker.process.pid, signal.SIGCONT)
                worker.kill()


def _rule(topic: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, *ANYBODY, operation, permission)
