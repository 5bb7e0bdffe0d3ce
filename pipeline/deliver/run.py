"""Deliver's door to the world: polls deliveries, posts them by libcurl, produces what came of it, commits."""

import asyncio
import gc
import logging
import resource
import signal
from functools import lru_cache, partial
from typing import Any

import msgspec
import uvloop

from pipeline import ending, health, keys, topics
from pipeline.deliver.deliveries import Deliveries
from pipeline.deliver.dispatch import Dispatch
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.rechecks import Rechecks
from pipeline.deliver.wire import Wire
from pipeline.kafka.client import Cluster
from pipeline.kafka.rights import check_rights
from pipeline.kafka.seam import Kafka
from pipeline.model.sealed import unseal
from pipeline.outbound import Guard
from pipeline.route.run import Router
from pipeline.settings import Settings

log = logging.getLogger(__name__)

YOUNG = 20_000  # new objects from which the collector looks: at 700 it took 5 us of a POST, and 20 ms when at all
OPENED = 40_000  # secrets, headers and keys of loops; those of 10,000 fit, and take some 20 MB


class Deliver:
    """The whole process: the router on its thread, deliveries on theirs, POSTs on the event loop."""

    def __init__(self, kafka: Kafka, settings: Settings, master_key: bytes) -> None:
        self._router = Router(kafka)
        self._wire = Wire(kafka, Guard(settings.allow_networks, settings.egress_proxy))
        ladder = settings.retry_ladder
        self._deliveries = Deliveries(kafka, self._wire, [topics.retry_topic(delay) for delay in ladder])
        # A secret is opened once, not at each POST; the cache goes with the process.
        opened = lru_cache(OPENED)(partial(unseal, master_key))
        self._wire.dispatch = Dispatch(self._wire, self._deliveries.standings, Ladder(ladder), opened)
        self._rechecks = None
        if settings.recheck is not None:
            self._rechecks = Rechecks(
                self._wire.calls,
                self._deliveries.standings,
                settings.recheck,
                self._deliveries.owns,
                self._wire.note,
                self._wire.now,
            )
        self._address = settings.console_host, settings.metrics_port + 1
        self._working = False

    @property
    def ready(self) -> bool:
        """Whether deliveries are read and the router routes."""
        return self._working and self._router.ready

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`; then what is under way is finished and committed. Raises what broke it."""
        asyncio.get_running_loop().set_exception_handler(self._fault)
        server = health.serve(*self._address, lambda: self.ready, self._lane)
        await self._deliveries.open()
        gc.collect()
        gc.freeze()  # what was made so far, the tables of loops as well, stays, and needs no looking after
        self._router.start()
        work = [self._deliveries.feed(), self._wire.outbox.run(), self._wire.pulse.run(), self._wire.tell()]
        if self._rechecks is not None:
            work.append(self._rechecks.run())
        tasks = [asyncio.create_task(one) for one in work]
        watch = [asyncio.create_task(one) for one in (_asked(stop), self._broken(), self._router_end())]
        self._working = True
        try:
            done, _ = await asyncio.wait([*tasks, *watch], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._working = False
            with ending.bounded():
                await self._end(tasks, watch)
            server.shutdown()
            server.server_close()

    def _lane(self, path: str) -> bytes | None:
        """`/lanes/LOOP`: how the loop's lane stands, where the loop is this process's; asked by the console."""
        _, where, loop = path.partition("/lanes/")
        if not where or not self.ready or not self._deliveries.owns(loop):
            return None
        return msgspec.json.encode(self._wire.dispatch.told(loop))

    async def _end(self, tasks: list["asyncio.Task[None]"], watch: list["asyncio.Task[None]"]) -> None:
        for task in [*tasks, *watch]:
            task.cancel()
        await asyncio.gather(*tasks, *watch, return_exceptions=True)  # what failed is raised by `run`
        try:
            await self._deliveries.close()
        finally:
            await asyncio.to_thread(self._router.stop)
            self._wire.close()

    async def _broken(self) -> None:
        """A worker that can't write, or has a fault, stops; the next owner begins below what was not done."""
        raise await self._wire.broken.get()

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of our own in a callback would leave its delivery unfinished for ever."""
        log.error("deliver: %s", context["message"], exc_info=context.get("exception"))
        if isinstance(failed := context.get("exception"), BaseException):
            self._wire.broken.put_nowait(failed)

    async def _router_end(self) -> None:
        await asyncio.to_thread(self._router.join)
        if self._router.failed:
            raise self._router.failed


async def _asked(stop: asyncio.Event) -> None:
    await stop.wait()


def run(settings: Settings) -> None:
    """Runs the stage until SIGTERM or SIGINT."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each POST, and those that are kept
    cluster, key = Cluster(settings), keys.master_key(settings)
    check_rights(cluster, "deliver", settings.retry_ladder)
    uvloop.run(_run(cluster, settings, key))


async def _run(cluster: Cluster, settings: Settings, master_key: bytes) -> None:
    deliver = Deliver(cluster, settings, master_key)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    gc.set_threshold(YOUNG)
    await deliver.run(stop)
