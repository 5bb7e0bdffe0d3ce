"""Capture's door: HTTP comes in by granian, hits go out to Kafka, and the answer waits for their ack.

One parent holds the listening socket and forks the workers (workers.py); each is an event loop with granian's
server and a producer of its own. All workers accept from the one socket, so a worker's death refuses nobody:
who connects meanwhile waits in its queue.
"""

import asyncio
import errno
import gc
import hmac
import logging
import mmap
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, cast

import msgspec
import uvloop
from confluent_kafka import KafkaError, KafkaException
from granian._granian import SocketHolder
from granian.constants import HTTPModes
from granian.server.embed import Server

from pipeline.capture import counts, following, workers
from pipeline.capture.answer import Request, Response, Rules, answer
from pipeline.capture.choices import Chosen
from pipeline.capture.privacy import Privacy
from pipeline.kafka.client import Cluster
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.seam import Kafka, Message
from pipeline.keys import link_keys
from pipeline.model.hits import AnyHit
from pipeline.model.ids import key_of
from pipeline.record import Record
from pipeline.settings import Settings, SettingsError
from pipeline.topics import HITS

log = logging.getLogger(__name__)

# What a reader waits at most. librdkafka looks for late records once a second, so it is told a second less
# and speaks first: then a hit called lost is not sent later. Ours is for the case that it doesn't.
PATIENCE_SECONDS = 10.0
PRODUCER = {
    "message.timeout.ms": 9_000,
    "queue.buffering.max.messages": 100_000,  # ten seconds of 10,000 hits/s, about 70 MB
    "reconnect.backoff.max.ms": 1_000,
}
SLOW_SECONDS = 2.0  # while a hit waits longer, this worker is not ready for more
TICK_SECONDS = 0.1
SECOND = 1.0

BACKLOG = 2_048
CONNECTIONS = 4_096  # a worker's; more wait in the backlog
DRAIN_SECONDS = PATIENCE_SECONDS + 2
QUIET_SECONDS = 1.0  # granian may miss telling a connection to end (#548): so long after the last answer we go
LEAVING_SECONDS = 1.0  # the workers of a killed parent are still closing their socket

LOST = ("loopwire-hit", "lost")
NEVER = ("Cache-Control", "no-store")
PLAIN = (("Content-Type", "text/plain; charset=utf-8"), NEVER)
PROMETHEUS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), NEVER)

Told = asyncio.Future[KafkaError | None]

encode = msgspec.json.Encoder().encode


class Headers(Protocol):
    """A request's headers in RSGI, where a value that is not ASCII reads as absent."""

    def get(self, key: str) -> str | None: ...
    def get_all(self, key: str) -> list[str]: ...


class Scope(Protocol):
    """A request in RSGI 1.6. `path` is percent-decoded, `client` is `ip:port` or `[ip]:port`."""

    client: str
    method: str
    path: str

    @property
    def headers(self) -> Headers: ...


class Reply(Protocol):
    """Where a response goes in RSGI."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Capture:
    """One worker's RSGI application: it answers over any `Kafka`, once the hit is acknowledged.

    `rows` holds the counts of all workers, `seat` is the number of ours.
    """

    def __init__(self, kafka: Kafka, rules: Rules, rows: Sequence[counts.Row], seat: int = 0) -> None:
        self._kafka = kafka
        self._rules = rules
        self._rows = rows
        self._row = rows[seat]
        self._outbox = Outbox(kafka, kafka.producer(**PRODUCER))
        self._waiting: dict[Told, float] = {}  # since when; the oldest is first
        self._well = False  # whether the broker took the last hit, or knew our topic since
        self._failed = 0.0  # when a hit was lost last
        self._lost = 0
        self._why = ""
        self._random = _random()
        self.draining = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop  # asking for the running loop is a system call (getpid), 7 % of a hit's work

    async def __rsgi__(self, scope: Scope, reply: Reply) -> None:
        response = self._own(scope.path) or await self._answered(scope)
        reply.response_bytes(response.status, list(response.headers), response.body)

    async def run(self) -> None:
        """Serves acknowledgements and looks after the broker, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outbox.run())
            tasks.create_task(self._watch())
            tasks.create_task(self._probe())

    def choose(self, chosen: Chosen) -> None:
        """What accounts chose, from now on; from any thread."""
        self._rules = self._rules._replace(chosen=chosen)

    @property
    def waiting(self) -> int:
        """How many hits wait for their ack."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether a hit that came now would be safe, as far as is known."""
        oldest = next(iter(self._waiting.values()), None)
        slow = oldest is not None and time.monotonic() - oldest > SLOW_SECONDS
        return self._well and not slow and not self.draining

    def _own(self, path: str) -> Response | None:
        match path:
            case "/live":
                return Response(200, PLAIN, b"live\n")
            case "/ready":
                return Response(200, PLAIN, b"ready\n") if self.ready else Response(503, PLAIN, b"not ready\n")
            case "/metrics":
                counts.waiting(self._row, self.waiting)
                return Response(200, PROMETHEUS, counts.text(self._rows).encode())
        return None

    async def _answered(self, scope: Scope) -> Response:
        asked, response, hit, bad = answer(self._request(scope), self._rules, next(self._random))
        if hit is None:
            counts.answered(self._row, asked, "bad" if bad else "none")
            return response
        safe = await self._safe(hit)
        counts.answered(self._row, asked, "safe" if safe else "lost")
        return response if safe else response._replace(headers=(*response.headers, LOST))

    def _request(self, scope: Scope) -> Request:
        headers = scope.headers
        return Request(
            scope.method,
            scope.path,
            scope.client.rpartition(":")[0].strip("[]"),
            datetime.now(UTC),
            headers.get("user-agent"),
            headers.get("referer"),
            tuple(headers.get_all("x-forwarded-for")) if self._rules.privacy.trusted else (),
            (headers.get("host") or "") if self._rules.chosen.owners else "",
            headers.get("sec-gpc") == "1",
            headers.get("dnt") == "1",
        )

    async def _safe(self, hit: AnyHit) -> bool:
        """Whether the hit was acknowledged in time."""
        told: Told = self._loop.create_future()
        since = time.monotonic()
        error = self._sent(hit, told)
        if error is None:
            self._waiting[told] = since
            error = await told
            del self._waiting[told]
        counts.waited(self._row, time.monotonic() - since)
        self._well = error is None
        if error is not None:
            self._failed = time.monotonic()
            self._lost += 1
            self._why = error.str()
        return error is None

    def _sent(self, hit: AnyHit, told: Told) -> KafkaError | None:
        """Why the hit was not taken; None where it was: then `told` hears of its ack."""

        def hear(error: KafkaError | None, _message: Message) -> None:
            if not told.done():  # it may be late: then we have answered
                told.set_result(error)

        try:
            self._outbox.send(Record(HITS, key_of(hit.account, hit.profile).encode(), encode(hit)), hear)
        except BufferError as full:
            return KafkaError(KafkaError._QUEUE_FULL, str(full))  # noqa: SLF001
        except KafkaException as refused:
            return cast("KafkaError", refused.args[0])
        return None

    async def _watch(self) -> None:
        """Gives up what waited too long, shows how many wait, and tells of losses at most once a second."""
        told = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._give_up(now - PATIENCE_SECONDS)
            counts.waiting(self._row, self.waiting)
            if self._lost and now - told >= SECOND:
                log.error("capture: %d hits lost: %s", self._lost, self._why)
                told, self._lost = now, 0

    def _give_up(self, before: float) -> None:
        for told, since in self._waiting.items():
            if since > before:
                return
            if not told.done():
                told.set_result(KafkaError(KafkaError._TIMED_OUT, "no acknowledgement in time"))  # noqa: SLF001

    async def _probe(self) -> None:
        """While the broker is not known to be well, asks it once a second for our topic; says why it isn't, once."""
        said = ""
        while True:
            if not self._well:
                began = time.monotonic()
                why = await asyncio.to_thread(self._not_well)
                self._well = not why and self._failed < began - SECOND
                if why and why != said:
                    log.warning("capture: not ready: %s", why)
                said = why
            await asyncio.sleep(SECOND)

    def _not_well(self) -> str:
        try:
            self._kafka.partitions((HITS,))
        except KafkaException as away:
            return str(away.args[0].str())
        return ""


def _random() -> Iterator[bytes]:
    """Ten random bytes at a time: a system call for each was 7 % of a hit's work."""
    while True:
        pool = os.urandom(10_000)
        yield from (pool[at : at + 10] for at in range(0, len(pool), 10))


class _Granian(Server):
    """granian's embedded server on a socket that stands already."""

    def __init__(self, app: Capture, listener: socket.socket) -> None:
        super().__init__(
            app, http=HTTPModes.http1, websockets=False, backlog=BACKLOG, backpressure=CONNECTIONS, log_enabled=False
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg, assignment]


def run(settings: Settings) -> None:
    """`loopwire capture`: serves until SIGTERM or SIGINT; SettingsError where a key or the address can't be used."""
    _try_out(settings)
    serve(settings, lambda: Cluster(settings))


def _try_out(settings: Settings) -> None:
    """SettingsError where no producer can be made: tried in a process of its own, since we fork and have no threads."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Cluster(settings).producer(**PRODUCER)
        except SettingsError as wrong:
            os.write(theirs, str(wrong).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        wrong_words = said.read().decode()
    os.waitpid(child, 0)
    if wrong_words:
        raise SettingsError(wrong_words)


def serve(settings: Settings, connect: Callable[[], Kafka]) -> None:
    """The stage over any Kafka; each worker connects for itself."""
    keys = link_keys(settings)
    file, own = settings.data / following.FILE, settings.tracking_url
    privacy = Privacy(settings.ip_policy, settings.trusted_proxies, _hash_key(keys))
    rules = Rules(keys, privacy, following.kept(file, own))
    listener = _listen(settings)
    seats = settings.capture_workers or os.cpu_count() or 1
    rows = _rows(seats)

    def work(seat: int, lifeline: int) -> None:
        capture = Capture(connect(), rules, rows, seat)
        following.Following(connect(), own, None if seat else file, capture.choose).start()
        uvloop.run(_work(capture, listener, lifeline))

    _allow_connections()
    log.info("capture: %d workers at %s", seats, settings.tracking_url)
    gc.freeze()  # what workers share with their parent stays shared: the collector would write to it
    gc.set_threshold(50_000)  # a hit leaves no cycle behind, and looking for some was 7 % of its work
    workers.keep(seats, work, DRAIN_SECONDS + SECOND, listener.close)


async def _work(capture: Capture, listener: socket.socket, lifeline: int) -> None:
    """One worker: serves until it is told to end, then ends in order; at once where the parent is gone."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in workers.ENDING:
        loop.add_signal_handler(number, ending.set)
    loop.add_reader(lifeline, os._exit, 1)
    workers.let_signals_in()
    server = _Granian(capture, listener)
    background = loop.create_task(capture.run())
    serving = loop.create_task(server.serve())
    ended = loop.create_task(ending.wait())
    done, _ = await asyncio.wait((ended, serving, background), return_when=asyncio.FIRST_COMPLETED)
    if ended not in done:
        await done.pop()  # raises what went wrong: the parent starts another
    capture.draining = True
    server.stop()  # type: ignore[no-untyped-call]
    await _drained(capture, serving)
    os._exit(0)  # granian's threads may hang in their own end (#875), and nothing is left to do


async def _drained(capture: Capture, serving: asyncio.Task[None]) -> None:
    """Returns when all is answered: granian closed its connections, or no hit waited for a while."""
    now = answered = time.monotonic()
    deadline = now + DRAIN_SECONDS
    while not serving.done() and now < min(deadline, answered + QUIET_SECONDS):
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        if capture.waiting:
            answered = now


def _listen(settings: Settings) -> socket.socket:
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


def _rows(seats: int) -> list[counts.Row]:
    """One row of counts a seat, in memory that forked workers share."""
    cells = memoryview(mmap.mmap(-1, seats * counts.ROW * 8)).cast("d")
    return [cells[seat * counts.ROW : (seat + 1) * counts.ROW] for seat in range(seats)]


def _hash_key(keys: Mapping[str, bytes]) -> bytes:
    """The key of IP_POLICY `hash`: all captures of an installation have the same, until TOKEN_KEYS changes."""
    return hmac.digest(next(iter(keys.values())), b"loopwire ip hash 1", "sha256")


def _allow_connections() -> None:
    """Each connection is a file descriptor, and the usual soft limit is 1,024 of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
