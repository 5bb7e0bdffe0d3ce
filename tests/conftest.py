"""What tests share: a real broker for each process of the run, and a prefix of its own for each test with topics."""

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from pipeline import settings
from pipeline.kafka.admin import Admin
from pipeline.settings import Settings
from tests import brokers

CHOICE = pytest.StashKey[brokers.Choice]()
# Below 32768, where Linux takes the ports of outgoing connections from. Each process of the run has some of its own.
PORTS = range(20_000, 32_000)
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
OF = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
OURS = PORTS[NUMBER * len(PORTS) // OF : (NUMBER + 1) * len(PORTS) // OF]
_given: set[int] = set()

# No speed is asserted: an example takes as long as a machine that is busy lets it take.
hypothesis.settings.register_profile("loopwire", deadline=None)
hypothesis.settings.load_profile("loopwire")


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    """Which Kafka it will be. Not in the header proper: the `-q` of our options hides that, and not this."""
    config.stash[CHOICE] = brokers.choose(os.environ)
    return f"kafka: {config.stash[CHOICE]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Where several processes run the tests (`-n 2`), this one chooses for all, and collects nothing itself."""
    config.get_terminal_writer().line(pytest_report_collectionfinish(config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One of them is made."""
    node.workerinput["kafka"] = tuple(node.config.stash[CHOICE])


def pytest_configure(config: pytest.Config) -> None:
    """One of them begins. A shell that runs us in its background has Ctrl-C ignored, and so would all we start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if told := getattr(config, "workerinput", {}).get("kafka"):
        config.stash[CHOICE] = brokers.Choice(*told)


def free_port(run: int = 1) -> int:
    """A port that nobody listens on, nor on the `run` - 1 after it, and that no other test was given."""
    while True:
        port = secrets.choice(OURS[: len(OURS) - run + 1])
        ports = set(range(port, port + run))
        if not ports & _given and all(map(_is_free, ports)):
            _given.update(ports)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the settings or the .env of who runs it."""
    for name in [name for name in os.environ if name.startswith("LOOPWIRE_") and name != "LOOPWIRE_TEST_KAFKA"]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv("LOOPWIRE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def kafka_address(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka: the one LOOPWIRE_TEST_KAFKA names, else a container's, else the embedded one."""
    choice = pytestconfig.stash[CHOICE]
    with brokers.running(choice, tmp_path_factory.mktemp("broker"), free_port(2)) as address:
        yield address


@pytest.fixture
def cluster_settings(kafka_address: str) -> Settings:
    """Settings for the real Kafka under a prefix of the test's own, topics made."""
    own = settings.read(kafka=kafka_address, topic_prefix=f"t{secrets.token_hex(4)}-", topic_partitions=4)
    admin = Admin(own)
    admin.apply(admin.plan())
    return own
