"""Capture's door: HTTP comes in, hits go out to Kafka or to the spool, and the answer waits for either.

One parent holds the listening socket and forks the workers (workers.py). Each (serving.py, owing.py) has a server
(listening.py, talking.py), a producer and a spool of its own. All workers accept from the one socket, so a
worker's death refuses nobody: who connects meanwhile waits in its queue.
"""

import asyncio
import gc
import hmac
import logging
import mmap
import os
import resource
from collections.abc import Callable, Mapping

import uvloop

from pipeline.capture import counts, following, listening, workers
from pipeline.capture.answer import Rules
from pipeline.capture.listening import DESCRIPTORS, Ear
from pipeline.capture.owing import PATIENCE_SECONDS, PRODUCER
from pipeline.capture.privacy import Privacy
from pipeline.capture.serving import Capture
from pipeline.capture.spool import FOLDER, Spool
from pipeline.kafka.client import Cluster
from pipeline.kafka.seam import Kafka
from pipeline.keys import link_keys
from pipeline.settings import Settings, SettingsError

log = logging.getLogger(__name__)

SECOND = 1.0
DRAIN_SECONDS = PATIENCE_SECONDS + 2


def run(settings: Settings) -> None:
    """`loopwire capture`: serves until SIGTERM or SIGINT; SettingsError where a key or the address can't be used."""
    _try_out(settings)
    serve(settings, lambda: Cluster(settings))


def _try_out(settings: Settings) -> None:
    """SettingsError where no client can be made: tried in a process of its own, since we fork and have no threads."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Cluster(settings).producer(**PRODUCER)
            Cluster(settings).reader()  # it is refused what the producer has of us, whatever was set: acks, say
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
    listener = listening.listening(settings)
    seats = settings.capture_workers or os.cpu_count() or 1
    rows = shared(seats)

    def work(seat: int, lifeline: int) -> None:
        capture = made(settings, connect(), rules, rows, seat)
        following.Following(connect(), own, None if seat else file, capture.choose).start()
        uvloop.run(_work(capture, Ear(capture.hear, listener, connections), lifeline))

    connections = _connections()
    log.info("capture: %d workers at %s", seats, settings.tracking_url)
    gc.freeze()  # what workers share with their parent stays shared: the collector would write to it
    gc.set_threshold(50_000)  # a hit leaves no cycle behind, and looking for some was 7 % of its work
    workers.keep(seats, work, DRAIN_SECONDS + SECOND, listener.close)


def made(settings: Settings, kafka: Kafka, rules: Rules, rows: list[counts.Row], seat: int = 0) -> Capture:
    """A worker's answers, and the spool behind them."""
    spool = Spool(settings.data / FOLDER, settings.spool_limit)
    spool.adopt()
    return Capture(kafka, rules, spool, rows, seat, settings.spool_deadline.total_seconds())


async def _work(capture: Capture, ear: Ear, lifeline: int) -> None:
    """One worker: serves until it is told to end, then ends in order; at once where the parent is gone."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in workers.ENDING:
        loop.add_signal_handler(number, ending.set)
    loop.add_reader(lifeline, os._exit, 1)
    workers.let_signals_in()
    background = loop.create_task(capture.run())
    serving = loop.create_task(ear.serve())
    ended = loop.create_task(ending.wait())
    done, _ = await asyncio.wait((ended, serving, background), return_when=asyncio.FIRST_COMPLETED)
    if ended not in done:
        await done.pop()  # raises what went wrong: the parent starts another
    capture.drain()
    ear.stop()
    await asyncio.wait((serving,), timeout=DRAIN_SECONDS)
    os._exit(0)  # the spool's thread and librdkafka's are not waited for: nothing is owed any more


def shared(seats: int) -> list[counts.Row]:
    """One row of counts a seat, in memory that forked workers share."""
    cells = memoryview(mmap.mmap(-1, seats * counts.ROW * 8)).cast("d")
    return [cells[seat * counts.ROW : (seat + 1) * counts.ROW] for seat in range(seats)]


def _hash_key(keys: Mapping[str, bytes]) -> bytes:
    """The key of IP_POLICY `hash`: all captures of an installation have the same, until TOKEN_KEYS changes."""
    return hmac.digest(next(iter(keys.values())), b"loopwire ip hash 1", "sha256")


def _connections() -> int:
    """How many a worker takes: each is a file descriptor, and the usual soft limit is 1,024 of them.

    The spool and the brokers must have theirs whatever comes; SettingsError where too few are left for that.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = listening.CONNECTIONS
    if most == resource.RLIM_INFINITY or most >= wanted + DESCRIPTORS:
        return wanted
    limit = f"the limit of open files (ulimit -Hn) is {most}"
    if most < 2 * DESCRIPTORS:
        raise SettingsError(
            f"capture: {limit}: it needs {2 * DESCRIPTORS}, and {wanted + DESCRIPTORS} for all it can take"
        )
    log.warning("capture: %s: a worker takes %d connections, not %d, for which it needs %d",
                limit, most - DESCRIPTORS, wanted, wanted + DESCRIPTORS)  # fmt: skip
    return most - DESCRIPTORS
