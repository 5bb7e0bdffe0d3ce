"""The ear: granian's HTTP server on a socket of ours, handing each request over on its own thread, without a loop.

A part of the door. granian's embedded server would make a task of every request and wake the event loop for it, a
third of a hit's work; so we take the parts that its server is made of. They are private, and granian is pinned.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from granian._granian import CallbackScheduler, RSGIWorker, SocketHolder, WorkerSignal
from granian.constants import HTTPModes, SSLProtocols
from granian.http import HTTP1Settings

from pipeline.settings import Settings, SettingsError

BACKLOG = 2_048
CONNECTIONS = 4_096  # a worker's, each with one request at a time; more wait in the backlog
DESCRIPTORS = 128  # that a worker needs beside: brokers, the spool's files, granian's and uvloop's own (40 were seen)
HEADERS_BYTES = 32_768  # a token of 8 KiB, and room for cookies: what a connection may make us hold
HEADERS_MS = 30_000  # for a request's headers, and between two requests of a connection
LEAVING_SECONDS = 1.0  # the workers of a killed parent are still closing their socket
TICK_SECONDS = 0.1

Headers = tuple[tuple[str, str], ...]


class Asked(Protocol):
    """A request's headers in RSGI, where a value that is not ASCII reads as absent."""

    def get(self, key: str) -> str | None: ...
    def get_all(self, key: str) -> list[str]: ...


class Scope(Protocol):
    """A request in RSGI 1.6. `path` is percent-decoded, `client` is `ip:port` or `[ip]:port`."""

    @property
    def client(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Asked: ...


class Reply(Protocol):
    """Where a response goes in RSGI: once, from any thread. A second one is dropped."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


Hear = Callable[[Scope, Reply], None]


class _Direct(CallbackScheduler):
    """Calls `hear` on granian's thread, where its own schedulers put a coroutine on the event loop."""

    def __new__(cls, loop: asyncio.AbstractEventLoop, _hear: Hear) -> Self:
        return super().__new__(cls, loop, None, None, None, None)  # type: ignore[call-arg] # as it is, not as typed

    def __init__(self, _loop: asyncio.AbstractEventLoop, hear: Hear) -> None:
        super().__init__()
        self._schedule_fn = lambda watcher: hear(watcher.scope, watcher.proto)


class Ear:
    """An HTTP server on a listening socket, which it takes over; at most so many connections at a time.

    `hear` must raise nothing.
    """

    def __init__(self, hear: Hear, listener: socket.socket, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._hear = hear
        self._listener = listener
        self._signal = WorkerSignal()
        logging.getLogger("_granian").setLevel(logging.WARNING)  # that it starts and stops, we say ourselves

    async def serve(self) -> None:
        """Returns once it was told to stop, and every connection is closed."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._signal.add_cb(lambda: loop.call_soon_threadsafe(ended.set_result, None))
        holder: Any = SocketHolder
        ears: Any = RSGIWorker
        worker = ears(
            1,
            (None, holder(self._listener.detach(), False, BACKLOG)),
            None,
            1,  # thread for HTTP
            1,  # thread for its blocking work: there is none
            1,  # thread for Python: `hear` is never called twice at a time
            30,  # seconds that one stays without work
            self._connections,
            HTTPModes.http1,
            HTTP1Settings(header_read_timeout=HEADERS_MS, max_buffer_size=HEADERS_BYTES),
            None,
            False,  # no web sockets
            None,
            *(False, None, None, None, str(SSLProtocols.tls13), None, [], False),  # no TLS
            (None, None),  # no metrics
        )
        worker.serve_async(_Direct(loop, self._hear), loop, self._signal)
        await ended

    def stop(self) -> None:
        """Takes no more connections, and closes each one once its request is answered."""
        self._signal.set()


def listening(settings: Settings) -> socket.socket:
    """The socket of CAPTURE_HOST and CAPTURE_PORT; SettingsError where they can't be used."""
    host, port = settings.capture_host, settings.capture_port
    deadline = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            return _listening(host, port)
        except OSError as taken:
            if taken.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(TICK_SECONDS)
                continue
            raise _unusable(host, port, taken) from taken


def _unusable(host: str, port: int, why: OSError) -> SettingsError:
    name = "PORT" if why.errno in {errno.EADDRINUSE, errno.EACCES} else "HOST"
    said = why.strerror if isinstance(why, socket.gaierror) else os.strerror(why.errno or 0)
    return SettingsError(f"LOOPWIRE_CAPTURE_{name}: {host}:{port} can't be used: {said}")


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    return listener
