"""A customer's HTTP/2 server whose every frame the test decides: TLS and ALPN are real, of HTTP/2 only what POSTs need.

RFC 9113; of HPACK it has to write one octet alone, the indexed field `:status: 200` (RFC 7541, appendix A).
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
STATUS_200 = b"\x88"
INTERNAL_ERROR, REFUSED_STREAM, HTTP_1_1_REQUIRED = 0x2, 0x7, 0xD


class Connection:
    """One connection of a client. `posts` are the ids of its streams whose request is whole."""

    def __init__(self, wire: ssl.SSLSocket) -> None:
        self.posts: list[int] = []
        self._wire = wire

    def ok(self, stream: int) -> None:
        """200, with no body."""
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200)

    def begin(self, stream: int) -> None:
        """200, and a body that is not over."""
        self.send(HEADERS, END_HEADERS, stream, STATUS_200)
        self.send(DATA, 0, stream, b"partly")

    def reset(self, stream: int, code: int = INTERNAL_ERROR) -> None:
        """Ends one stream, and no other."""
        self.send(RST_STREAM, 0, stream, struct.pack("!I", code))

    def goaway(self, last: int) -> None:
        """Takes no more streams, and does nothing of those after `last`."""
        self.send(GOAWAY, 0, 0, struct.pack("!II", last, 0))

    def cut(self) -> None:
        """A TCP reset."""
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._wire.close()

    def close(self) -> None:
        """An end without a word."""
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        self._wire.close()

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """One frame."""
        self._wire.sendall(struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload)

    def serve(self, behave: "Behave") -> None:
        """Reads frames to the end; `behave` is told of each request that is whole."""
        if self._wire.selected_alpn_protocol() != "h2":
            self._serve_as_before()
            return
        if self._exactly(len(PREFACE)) != PREFACE:
            return
        self.send(SETTINGS, 0, 0)
        while head := self._exactly(9):
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            payload = self._exactly(length)
            if kind in {SETTINGS, PING} and not flags & ACK:
                self.send(kind, ACK, 0, payload if kind == PING else b"")
            elif kind in {HEADERS, DATA} and flags & END_STREAM:
                self.posts.append(stream)
                behave(self, stream)

    def _serve_as_before(self) -> None:
        """Over HTTP/1.1 one request is answered, by 201."""
        if self._wire.recv(65_536):
            self._wire.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            if not (more := self._wire.recv(size - len(read))):
                return b""
            read += more
        return read


Behave = Callable[[Connection, int], None]  # the connection, and the stream whose request is whole


class Http2:
    """Listens on this machine with a certificate and its key, in one file."""

    def __init__(self, certificate: Path, behave: Behave) -> None:
        self.connections: list[Connection] = []
        self.behave = behave
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}/in"

    @property
    def posts(self) -> list[int]:
        """How many requests each connection got."""
        return [len(connection.posts) for connection in self.connections]

    def close(self) -> None:
        """Ends all connections, and awaits their threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(raw,)))
            self._threads[-1].start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(30)
        with contextlib.suppress(OSError):  # the client went away, as it may
            connection = Connection(self._context.wrap_socket(raw, server_side=True))
            self.connections.append(connection)
            connection.serve(self.behave)
            connection.close()
