"""The console's door to the world: HTTP by granian in this very process, Kafka, clock, randomness, other servers."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import uvloop
from confluent_kafka import KafkaException
from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from pipeline import keys
from pipeline.calls import Calls
from pipeline.console.api import build
from pipeline.console.console import Console, Effects, Keys
from pipeline.console.directory import Directory
from pipeline.console.fetching import Fetcher
from pipeline.console.follower import Follower
from pipeline.console.hashing import Hasher
from pipeline.console.limits import Limits
from pipeline.console.past import Past
from pipeline.console.probing import Probing
from pipeline.console.recorder import Recorder
from pipeline.console.store.database import Database
from pipeline.console.store.told import microseconds
from pipeline.console.store.url import database_url
from pipeline.console.stored_health import StoredHealth
from pipeline.console.track import Tracking
from pipeline.console.watching import Watching
from pipeline.console.workbench import Workbench
from pipeline.deliver.ladder import Ladder
from pipeline.kafka.client import Cluster
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.rights import check_rights
from pipeline.kafka.seam import Kafka
from pipeline.outbound import Guard
from pipeline.settings import Settings, SettingsError, near, unusable

log = logging.getLogger(__name__)

PRODUCE_MS = 8_000  # within the directory's patience: what was not sent by then never is
HURRY_SECONDS = 2.0
DRAIN_SECONDS = 3.0
FLUSH_SECONDS = 1.0


class Parts(NamedTuple):
    """What works while the console serves."""

    outbox: Outbox
    directory: Directory
    follower: Follower
    fetcher: Fetcher
    past: Past
    database: Database
    recorder: Recorder
    hasher: Hasher
    workbench: Workbench
    watching: Watching
    probing: Probing


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; exits with one line where it can't."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until all is loaded there is nothing to lose
    try:
        uvloop.run(_until_told(settings))
    except SettingsError as wrong:
        raise SystemExit(str(wrong)) from None
    except KafkaException as wrong:
        raise SystemExit(f"console: kafka: {wrong.args[0].str()}") from None


async def serve(settings: Settings, kafka: Kafka, stop: asyncio.Event, loaded: Callable[[], None]) -> None:
    """Loads accounts and loops, calls `loaded`, then serves until `stop`.

    SettingsError where a key or the port can't be used, KafkaException where the topics can't be read.
    """
    address = _free_address(settings)
    database = Database(database_url(settings))
    calls = Calls(Guard(settings.allow_networks, settings.egress_proxy))
    outbox = Outbox(kafka, kafka.producer(**{"message.timeout.ms": PRODUCE_MS}))
    parts = _parts(kafka, outbox, calls, database, _stages(settings))
    server = _server(build(_console(settings, parts, stop)), address)
    try:
        await asyncio.to_thread(check_rights, kafka, "console", settings.retry_ladder)
        await parts.follower.load()
        parts.recorder.start()
        loaded()
        log.info("listening on %s, port %d", *address)
        await _work(server, parts, stop)
    finally:
        calls.close()
        await parts.follower.close()
        parts.past.close()
        await asyncio.to_thread(parts.recorder.stop)
        database.close()
        parts.hasher.close()
        parts.workbench.close()
        parts.probing.close()
        await parts.watching.close()


async def _until_told(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def listen() -> None:
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, stop.set)

    await serve(settings, Cluster(settings), stop, listen)


async def _work(server: Server, parts: Parts, stop: asyncio.Event) -> None:
    """Until `stop`, or until one of the tasks ends, which is a fault. Then what is under way may end."""
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    others = [asyncio.create_task(parts.outbox.run()), asyncio.create_task(parts.follower.follow())]
    done, _ = await asyncio.wait([serving, stopping, *others], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await _drain(server, serving, parts)
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    for task in done - {stopping}:
        task.result()
        raise RuntimeError("the console stopped by itself")


async def _drain(server: Server, serving: asyncio.Task[None], parts: Parts) -> None:
    server.stop()  # type: ignore[no-untyped-call]
    parts.fetcher.give_up()
    closing = asyncio.create_task(parts.watching.close())
    parts.directory.hurry(HURRY_SECONDS)
    await asyncio.wait([serving, closing], timeout=DRAIN_SECONDS)
    await parts.outbox.drain(FLUSH_SECONDS)


def _parts(kafka: Kafka, outbox: Outbox, calls: Calls, database: Database, stages: dict[str, str]) -> Parts:
    directory = Directory(outbox.put)
    recorder = Recorder(kafka, database, lambda: microseconds(datetime.now(UTC)))
    follower = Follower(kafka, directory.take)
    past, watching, probing = Past(kafka), Watching(kafka), Probing(kafka, stages)
    return Parts(
        outbox, directory, follower, Fetcher(calls), past, database, recorder, Hasher(), Workbench(), watching, probing
    )


def _stages(settings: Settings) -> dict[str, str]:
    """Where the other stages tell how they are."""
    return {
        "capture": near(settings.capture_host, settings.capture_port),
        "enrich": near(settings.console_host, settings.metrics_port),
        "deliver": near(settings.console_host, settings.metrics_port + 1),
    }


def _console(settings: Settings, parts: Parts, stop: asyncio.Event) -> Console:
    return Console(
        keys=Keys(keys.admin_key(settings), keys.master_key(settings)),
        tracking=Tracking(settings.tracking_url, keys.link_keys(settings)),
        directory=parts.directory,
        effects=Effects(
            lambda: datetime.now(UTC),
            time.monotonic,
            os.urandom,
            parts.fetcher.fetch,
            parts.fetcher.send,
            parts.past,
            parts.hasher,
            parts.workbench,
            parts.watching,
            parts.probing,
        ),
        limits=Limits(),
        ready=lambda: not stop.is_set(),
        store=parts.database,
        ladder=Ladder(settings.retry_ladder),
        health=StoredHealth(parts.database),
        proxies=settings.trusted_proxies,
    )


def _server(app: FastAPI, address: tuple[str, int]) -> Server:
    return Server(
        app,
        *address,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )


def _free_address(settings: Settings) -> tuple[str, int]:
    """The address to listen on. Granian shares a port silently (SO_REUSEPORT), so a taken one is found here."""
    host, port = settings.console_host, settings.console_port
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as unknown:
        raise SettingsError(f"LOOPWIRE_CONSOLE_HOST: {host} is no address of this machine") from unknown
    with socket.socket(family, kind) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(place)
            trial.listen()
        except OSError as taken:
            raise unusable(("CONSOLE_HOST", "CONSOLE_PORT"), host, port, taken) from taken
    return str(place[0]), port
