"""Receivers that mean harm, as real servers: each costs its seconds, 16 KiB and one slot, and its attempt says how."""

import asyncio
import gzip
import itertools
import re
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline import topics
from pipeline.deliver import wire
from pipeline.deliver.run import Deliver
from pipeline.kafka.memory import Memory
from pipeline.model.deliveries import Attempt
from pipeline.model.loops import Loop, Secret
from pipeline.model.sealed import seal
from tests.examples import example
from tests.story.conftest import line_settings
from tests.test_outbound import OK, Server, _closes_after, _endless, _resets, _says

MASTER = b"m" * 32
SECONDS = 2.0  # instead of 15
LADDER = (timedelta(hours=1),)  # one attempt is made here
REDIRECT = b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n"
BOMB = gzip.compress(bytes(5_000_000))
GZIPPED = b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# What is answered; then how it ends: state, status, and the attempt's error.
Ends = tuple[Any, str, int | None, str | None]
HOSTILE: dict[str, Ends] = {
    "drips a body": (_endless(CHUNKED, b"1\r\n.\r\n", 0.05), "again", 200, "Operation timed out"),
    "drips headers": (_endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05), "again", 200, "Operation timed out"),
    "drips a status line": (_endless(b"HTTP/1.1 ", b"", 0.05), "again", None, "Operation timed out"),
    "says nothing": (_endless(b"", b"", 0.05), "again", None, "Operation timed out"),
    "has no end": (_endless(b"HTTP/1.1 200 OK\r\n\r\n", b"more" * 4000), "delivered", 200, None),
    "fails without end": (_endless(b"HTTP/1.1 500 No\r\n\r\n", b"more" * 4000), "again", 500, "answered 500"),
    "is a gzip bomb": (_says(GZIPPED), "again", 500, "answered 500"),
    "floods with headers": (_endless(b"HTTP/1.1 200 OK\r\n", b"X: flood\r\n" * 50), "again", 200, "answer's headers"),
    "continues for ever": (_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50), "again", 100, "answer's headers are"),
    "redirects to metadata": (_says(REDIRECT), "again", 307, "answered 307"),
    "speaks HTTP/0.9": (_closes_after(b"hello\r\n" * 9), "again", None, "Received HTTP/0.9"),
    "makes noise": (_closes_after(bytes(range(256)) * 8), "again", None, "Received HTTP/0.9"),
    "resets at once": (_resets, "again", None, "(Recv|Send) failure|Connection reset"),
    "stops half-way": (_closes_after(OK[:-1]), "again", 200, ".*(missing|remaining)"),
    "has a length that is none": (_closes_after(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "again", 200, ".+"),
    "has a chunk that is none": (_closes_after(CHUNKED + b"zz\r\n"), "again", 200, ".+"),
    "is well": (_says(OK), "delivered", 200, None),
}  # fmt: skip


class Line:
    """A deliver process in this one, over a Kafka in memory."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self._settings = line_settings(folder).model_copy(update={"retry_ladder": LADDER} | more)
        declared = topics.wanted(topics.read(), self._settings.topic_partitions, self._settings.retry_ladder)
        self._kafka = Memory({topic.name: topic.partitions for topic in declared})
        self._loops: list[str] = []

    def add(self, name: str, url: str) -> None:
        """A loop that is verified, and one delivery to it."""
        loop = f"lp_{len(self._loops)}"
        secret = Secret(sealed=seal(MASTER, loop, "whsec_" + "A" * 43 + "=", bytes(12)), created=datetime.now(UTC))
        made = Loop(id=loop, account="shop", name=name, url=url, events=["click"], file="f", content="c",
                    created_at=datetime.now(UTC), secrets=[secret], verified_url=url, epoch=1)  # fmt: skip
        delivery = example("delivery.v1", "first") | {"loop": loop, "id": f"msg_{name}"}
        self._kafka.producer().produce("loops", msgspec.json.encode(made), loop.encode())
        self._kafka.producer().produce("deliveries", msgspec.json.encode(delivery), loop.encode())
        self._loops.append(name)

    def attempts(self) -> dict[str, Attempt]:
        """What is told of each, once all were told of."""
        return {name: each[0] for name, each in self.histories(1).items()}

    def histories(self, count: int) -> dict[str, list[Attempt]]:
        """What is told of each, in order, once of each so many attempts were told."""

        async def work() -> None:
            deliver, stop = Deliver(self._kafka, self._settings, MASTER), asyncio.Event()
            running = asyncio.ensure_future(deliver.run(stop))
            deadline = time.monotonic() + 60
            while not self._all(count) and time.monotonic() < deadline:
                await asyncio.wait([running], timeout=0.02)
            stop.set()
            await running

        asyncio.run(work())
        return self._found()

    def _all(self, count: int) -> bool:
        found = self._found()
        return len(found) == len(self._loops) and all(len(each) >= count for each in found.values())

    def _found(self) -> dict[str, list[Attempt]]:
        found = defaultdict[str, list[Attempt]](list)
        for message in itertools.chain(*self._kafka.logs["attempts"]):
            one = msgspec.json.decode(message.value() or b"", type=Attempt)
            found[one.delivery.removeprefix("msg_")].append(one)
        return found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "POST_SECONDS", SECONDS)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def serve(behave: Any, wrap: Any = None) -> Server:
        made.append(Server(behave, wrap))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def test_each_costs_its_seconds_and_its_slot_and_says_what_happened(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    line, servers = Line(tmp_path), {name: serve(behave) for name, (behave, *_) in HOSTILE.items()}
    for name, server in servers.items():
        line.add(name, server.url())
    told = line.attempts()
    wrong = {
        name: (told.get(name), expected)
        for name, (_, *expected) in HOSTILE.items()
        if name not in told or not _is(told[name], HOSTILE[name])
    }
    assert wrong == {}
    assert [name for name, one in told.items() if len(one.response or "") > 16_384] == []
    assert [name for name, one in told.items() if one.timings.total > (SECONDS + 2) * 1000] == []
    assert [name for name, server in servers.items() if server.connections > 1] == []


def _is(told: Attempt, expected: Ends) -> bool:
    _, outcome, status, error = expected
    says = told.error is None if error is None else re.match(error, told.error or "") is not None
    return (told.outcome, told.status) == (outcome, status) and says


def test_a_connection_may_be_reset_at_any_byte(tmp_path: Path, serve: Callable[..., Server]) -> None:
    def resets(connection: socket.socket, request: bytes, over: threading.Event) -> None:
        at = int(request.split(b" ")[1].rpartition(b"/")[2])
        connection.sendall(OK[:at])
        _resets(connection, request, over)

    line, server = Line(tmp_path), serve(resets)
    for at in range(len(OK)):
        line.add(str(at), server.url(f"/{at}"))
    told = line.attempts()
    assert {at: one.outcome for at, one in told.items()} == {str(at): "again" for at in range(len(OK))}
    assert [at for at, one in told.items() if not one.error] == []


def _certificate(folder: Path, host: str) -> Path:
    """A certificate that vouches for itself, for a name, or for 127.0.0.1 where that has no dot; its key beside it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=1 if host != "old" else -1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host) if "." in host else x509.IPAddress(IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / f"{host}.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption()))
    return path


def test_a_certificate_has_to_be_the_host_s_and_somebody_s(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: _certificate(tmp_path, name) for name in ("shop", "unknown", "other.example", "old")}
    known = tmp_path / "known.pem"
    known.write_bytes(b"".join(files[name].read_bytes() for name in ("shop", "other.example", "old")))
    monkeypatch.setenv("SSL_CERT_FILE", str(known))
    line = Line(tmp_path)
    for name, file in files.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        server = serve(_says(OK), lambda one, context=context: context.wrap_socket(one, server_side=True))
        line.add(name, server.url(scheme="https"))
    line.add("no TLS at all", serve(_says(OK)).url(scheme="https"))
    told = line.attempts()
    assert {name: one.outcome for name, one in told.items()} == {
        "shop": "delivered",
        "unknown": "again",
        "other.example": "again",
        "old": "again",
        "no TLS at all": "again",
    }
    for name, says in (
        ("unknown", "certificate"),
        ("other.example", r"127\.0\.0\.1"),
        ("old", "expired"),
        ("no TLS at all", "timed out|TLS|SSL"),
    ):
        assert re.search(says, told[name].error or ""), told[name].error


def test_a_guard_that_became_stricter_holds_for_loops_that_were_verified_before(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(_says(OK))
    for allowed in (True, False):
        line = Line(tmp_path, **({} if allowed else {"allow_networks": ()}))
        line.add("one", server.url())
        told = line.attempts()["one"]
        expected = ("delivered", None) if allowed else ("again", "address 127.0.0.1 is refused: loopback")
        assert (told.outcome, told.error, server.connections) == (*expected, 1)
