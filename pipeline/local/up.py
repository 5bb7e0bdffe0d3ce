"""Up: a Kafka where none is named, its topics, every stage, and if asked a demo; one Ctrl-C stops all of it."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network

import requests

from pipeline import keys
from pipeline.kafka.admin import Admin
from pipeline.local.broker import Broker, BrokerError
from pipeline.local.demo import Demo
from pipeline.local.supervisor import Child, StageFailedError, stop
from pipeline.settings import Settings, SettingsError, near, unusable

STAGES = ("capture", "enrich", "deliver", "console")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
LOOK_SECONDS = 0.2
READY_SECONDS = 60.0
ONCE_SECONDS = 120.0


def say(line: str) -> None:
    """One line for the person who started it."""
    sys.stdout.write(f"loopwire: {line}\n")
    sys.stdout.flush()


def broker_alone(settings: Settings) -> None:
    """Only the embedded broker, until Ctrl-C."""
    with _stopping() as stopped, _broker(settings) as broker:
        say(f"Kafka is at {broker.bootstrap}; its records are in {settings.data / 'broker'}; Ctrl-C stops it")
        while not stopped.wait(LOOK_SECONDS):
            if not broker.alive:
                raise SettingsError(f"Kafka ended by itself: see {broker.data / 'broker.log'}")


def up(settings: Settings, *, demo: bool, once: bool) -> int:
    """Everything, until Ctrl-C or the end of the demo; the exit code."""
    with _stopping() as stopped:
        if settings.kafka:
            return _stages(settings, None, stopped, demo=demo, once=once)
        with _broker(settings) as broker:
            return _stages(settings, broker, stopped, demo=demo, once=once)


def _stages(settings: Settings, broker: Broker | None, stopped: threading.Event, *, demo: bool, once: bool) -> int:
    _check_ports(settings)
    _topics(settings)
    children = [Child(stage, _environment(settings, demo=demo)) for stage in STAGES]
    try:
        for child in children:
            child.start()
        _wait_ready(settings, children, stopped)
        say(f"all stages are up: capture {settings.tracking_url}, console {settings.console_url}")
        show = Demo(settings, keys.admin_key(settings)) if demo else None
        return _look_after(children, broker, stopped, show, once=once)
    except StageFailedError as failed:
        say(str(failed))
        return 1
    finally:
        say("stopping")
        stop(children)


def _look_after(
    children: list[Child], broker: Broker | None, stopped: threading.Event, show: Demo | None, *, once: bool
) -> int:
    deadline = time.monotonic() + ONCE_SECONDS
    if show:
        show.start()
    while not stopped.wait(LOOK_SECONDS):
        for child in children:
            if line := child.look_after():
                say(line)
        if broker is not None and not broker.alive:
            say(_again(broker))
        if show and show.failed:
            say(show.failed)
            return 1
        if once and show and show.delivered:
            return 0
        if once and time.monotonic() > deadline:
            say(f"not delivered within {ONCE_SECONDS:.0f} s")
            return 1
    return 1 if once else 0


def _again(broker: Broker) -> str:
    try:
        broker.start()
    except BrokerError as wrong:
        return f"Kafka ended and can't be started again: {wrong}"
    return "Kafka ended and was started again"


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second Ctrl-C is Python's own."""
    stopped = threading.Event()

    def stop_once(_number: int, _frame: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_once)
    yield stopped


@contextmanager
def _broker(settings: Settings) -> Iterator[Broker]:
    broker = Broker(settings.data / "broker", settings.broker_port)
    try:
        broker.start()
        broker.wait_ready()
        yield broker
    except BrokerError as wrong:
        raise SettingsError(str(wrong)) from wrong
    finally:
        broker.stop()


def _topics(settings: Settings) -> None:
    admin = Admin(settings)
    steps = admin.plan()
    admin.apply(steps)
    for kind, topic, detail in steps:
        if kind == "conflict":
            raise SettingsError(f"topic {topic.name} is not as declared: {detail}")


def _check_ports(settings: Settings) -> None:
    """A port of another process, or of two stages, would seem ready, and its stage be started again for ever."""
    with ExitStack() as held:  # each one while the next is tried
        for names, host, port in (
            (("CAPTURE_HOST", "CAPTURE_PORT"), settings.capture_host, settings.capture_port),
            (("CONSOLE_HOST", "CONSOLE_PORT"), settings.console_host, settings.console_port),
            (("CONSOLE_HOST", "METRICS_PORT"), settings.console_host, settings.metrics_port),
            (("CONSOLE_HOST", "METRICS_PORT"), settings.console_host, settings.metrics_port + 1),
        ):
            trial = held.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
                trial.listen()
            except OSError as taken:
                raise unusable(names, host, port, taken) from taken


def _environment(settings: Settings, *, demo: bool) -> dict[str, str]:
    if not demo:
        return {}
    networks = ",".join(map(str, {*settings.allow_networks, *LOOPBACK}))  # the demo's customer is on this machine
    return {"LOOPWIRE_ALLOW_NETWORKS": networks, "LOOPWIRE_LOG": os.environ.get("LOOPWIRE_LOG", "WARNING")}


def _wait_ready(settings: Settings, children: list[Child], stopped: threading.Event) -> None:
    addresses = {
        "capture": near(settings.capture_host, settings.capture_port) + "/ready",
        "enrich": near(settings.console_host, settings.metrics_port) + "/ready",
        "deliver": near(settings.console_host, settings.metrics_port + 1) + "/ready",
        "console": near(settings.console_host, settings.console_port) + "/ready",
    }
    deadline = time.monotonic() + READY_SECONDS
    while waiting := [child for child in children if not child.was_ready]:
        for child in waiting:
            child.look_after()
            child.was_ready = _is_ready(addresses[child.stage])
        if stopped.wait(LOOK_SECONDS / 2):
            raise StageFailedError("stopped before all stages were up")
        if time.monotonic() > deadline:
            raise StageFailedError(f"{waiting[0].stage} is not ready after {READY_SECONDS:.0f} s")


def _is_ready(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).status_code == 200
    except requests.RequestException:
        return False
