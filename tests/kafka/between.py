"""A door before the broker that refuses one batch of records, as a broker does that is not the leader yet."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread

NOT_LEADER = 6
PRODUCE = 0
VERSIONS = range(9, 13)  # of Produce: lengths are varints, a topic has its name, structures end in tags
NO_TAGS = b"\0"
SECONDS = 30.0


class Between:
    """Clients come to `port` for the broker, which says that it is there, and is at the port `broker`.

    The first ProduceRequest never gets to the broker. It is refused once a second one is here, and that one goes on.
    """

    def __init__(self, port: int, broker: int) -> None:
        self._broker = broker
        self._produced = 0
        self._refusal = b""
        self._changed = Condition()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets = [self._listener]
        self._threads: list[Thread] = []
        self._run(self._accept)

    def wait_held(self) -> None:
        """Until the first ProduceRequest is here."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._produced > 0, SECONDS)

    def close(self) -> None:
        """Ends all connections."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(SECONDS)

    def _run(self, work: object, *words: socket.socket) -> None:
        thread = Thread(target=work, args=words, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker))
                self._sockets += [client, broker]
                self._run(self._ask, client, broker)
                self._run(self._answer, client, broker)

    def _ask(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            for request in _frames(client):
                if struct.unpack_from(">h", request)[0] == PRODUCE and self._is_held(request, client):
                    continue
                _send(broker, request)
            broker.shutdown(socket.SHUT_RDWR)

    def _is_held(self, request: bytes, client: socket.socket) -> bool:
        with self._changed:
            self._produced += 1
            if self._produced == 1:
                self._refusal = refusal(request)
            elif self._produced == 2:
                _send(client, self._refusal)
            self._changed.notify_all()
            return self._produced == 1

    def _answer(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            for answer in _frames(broker):
                _send(client, answer)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(port: int, broker: int) -> Iterator[Between]:
    made = Between(port, broker)
    try:
        yield made
    finally:
        made.close()


def _frames(one: socket.socket) -> Iterator[bytes]:
    """All requests or answers of a connection."""
    while len(head := one.recv(4, socket.MSG_WAITALL)) == 4:
        yield one.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)


def _send(one: socket.socket, frame: bytes) -> None:
    one.sendall(struct.pack(">i", len(frame)) + frame)


def refusal(request: bytes) -> bytes:
    """NOT_LEADER_OR_FOLLOWER for a ProduceRequest of one partition (Kafka's protocol guide, Produce)."""
    _, version, number, client = struct.unpack_from(">hhih", request)
    assert version in VERSIONS, version
    at = 10 + client + len(NO_TAGS)
    assert request[at] == 0, "it has a transaction"
    at += 1 + 2 + 4  # acks, timeout
    assert request[at] == 1 + 1, "not one topic"
    name = request[at + 1 : at + 1 + request[at + 1]]  # its length, plus one, goes before it
    at += 1 + len(name)
    assert request[at] == 1 + 1, "not one partition"
    [partition] = struct.unpack_from(">i", request, at + 1)
    no_errors, no_message = b"\1", b"\0"
    refused = struct.pack(">ihqqq", partition, NOT_LEADER, -1, -1, -1) + no_errors + no_message + NO_TAGS
    no_throttle = bytes(4)
    return struct.pack(">i", number) + NO_TAGS + b"\2" + name + b"\2" + refused + NO_TAGS + no_throttle + NO_TAGS
