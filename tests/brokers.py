"""Which real Kafka the tests use: the one that was named, else one in a container, else the embedded one."""

import gc
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal, NamedTuple

from confluent_kafka.admin import AdminClient
from docker import DockerClient as Engine
from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from pipeline.local.broker import LEAN, ONE_NODE, QUICK, QUIET, Broker, BrokerError, _answers, _until

ADDRESS = "LOOPWIRE_TEST_KAFKA"
IMAGE = "LOOPWIRE_TEST_KAFKA_IMAGE"
OFFICIAL = "apache/kafka:4.3.1"
ENGINE_SECONDS = 2.0
PULL_SECONDS = 60.0
START_SECONDS = 60.0
CLIENTS, CONTROLLER = 9092, 9093  # inside the container


class Choice(NamedTuple):
    """A broker and why it is this one: an address, an image, or what speaks against a container."""

    which: Literal["given", "testcontainers", "embedded"]
    detail: str

    def __str__(self) -> str:
        return f"{self.which} ({self.detail})"


def choose(environment: Mapping[str, str], patience: float = PULL_SECONDS) -> Choice:
    """The broker for this machine; an image that is not here is pulled, for at most about `patience` seconds."""
    if given := environment.get(ADDRESS):
        return Choice("given", given)
    image = environment.get(IMAGE) or OFFICIAL
    engine = _engine()
    if engine is None:
        return Choice("embedded", "no Docker engine answers")
    with closing(engine):
        why = _missing(engine, image) and _not_pulled(image, patience)
    return Choice("embedded", f"Docker has no {image}: {why}") if why else Choice("testcontainers", image)


@contextmanager
def running(choice: Choice, folder: Path, port: int) -> Iterator[str]:
    """Its bootstrap address while it runs, on `port` and for the embedded one the next; `folder` is that one's."""
    match choice.which:
        case "given":
            yield choice.detail
        case "testcontainers":
            with _container(choice.detail, port) as address:
                yield address
        case "embedded":
            broker = Broker(folder, port)
            try:
                broker.start()
                broker.wait_ready()
                yield broker.bootstrap
            finally:
                broker.stop()


def variables(properties: Mapping[str, str]) -> dict[str, str]:
    """Kafka's properties as the official image is told them: `node.id` is KAFKA_NODE_ID."""
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in properties.items()}


def properties(address: str) -> dict[str, str]:
    """What a broker in a container is told, to be the embedded one's like for clients who reach it at `address`."""
    return {
        "controller.quorum.voters": f"1@localhost:{CONTROLLER}",
        "listeners": f"PLAINTEXT://:{CLIENTS},CONTROLLER://:{CONTROLLER}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        **ONE_NODE,
        **QUICK,
        **LEAN,
    }


@contextmanager
def _container(image: str, port: int) -> Iterator[str]:
    docker = DockerClient()
    with closing(docker.client):
        host = docker.host().replace("localhost", "127.0.0.1")  # `localhost` may be ::1 first
        # Ryuk removes what a killed run leaves. Where its image is missing, that is left to people.
        testcontainers_config.ryuk_disabled |= bool(_missing(docker.client, testcontainers_config.ryuk_image))
    address = f"{host}:{port}"
    told = {**variables(properties(address)), "KAFKA_HEAP_OPTS": "-Xmx384m"}
    with DockerContainer(image, env=told).with_bind_ports(CLIENTS, port) as container:
        admin = AdminClient({"bootstrap.servers": address, **QUIET})
        if not _until(lambda: _ended(container) or _answers(admin), START_SECONDS) or _ended(container):
            said = container.get_wrapped_container().logs(tail=5).decode(errors="replace")
            raise BrokerError(f"{image} gave no answer on {address}: {said}")
        yield address


def _ended(container: DockerContainer) -> bool:
    container.reload()
    return container.status == "exited"


def _engine() -> Engine | None:
    """The Docker engine that testcontainers will use; None where none answers in two seconds."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            engine: Engine = DockerClient(timeout=ENGINE_SECONDS).client  # it asks for the version at once
            return engine
        except (DockerException, OSError):  # requests' errors are OSErrors
            pass
        gc.collect()  # docker leaves the socket that nobody answered to the collector: here, not in some test
    return None


def _missing(engine: Engine, image: str) -> str:
    """Why the engine does not have the image; empty where it has it."""
    try:
        engine.images.get(image)
    except ImageNotFound:
        return "it is not there"
    except (DockerException, OSError) as wrong:
        return _words(wrong)
    return ""


def _not_pulled(image: str, patience: float) -> str:
    """Why the image could not be pulled in time; empty where it was. docker's `pull` knows no timeout: a thread has."""
    said: SimpleQueue[str] = SimpleQueue()
    Thread(target=lambda: said.put(_pull(image)), name="pull", daemon=True).start()
    try:
        return said.get(timeout=patience)
    except Empty:
        return f"it was not pulled within {patience:g} s"


def _pull(image: str) -> str:
    try:
        with closing(DockerClient().client) as engine:
            steps = engine.api.pull(image, stream=True, decode=True)
            return next((step["error"] for step in steps if "error" in step), "")
    except (DockerException, OSError) as wrong:
        return _words(wrong)


def _words(wrong: Exception) -> str:
    explained = wrong.explanation if isinstance(wrong, APIError) else None
    return " ".join(str(explained or wrong).split())[:200]
