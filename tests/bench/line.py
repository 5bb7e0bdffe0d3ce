"""The line: how long from an open fetched (its request sent) to its POST received, at 500 hits a second; and at 200."""

import asyncio
import gc
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs

import uvloop

from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.keys import link_keys
from pipeline.topics import ATTEMPTS, HITS
from tests.bench.figures import Implausible, Run, delays, percentiles
from tests.bench.ground import Ground, agree
from tests.bench.mail import ACCOUNT, mailing_id, mailings, profile_id, profiles
from tests.bench.processes import Process, say
from tests.bench.readers import Opened, Readers
from tests.bench.receiver import Post, Receiver
from tests.bench.work import loop, loop_rows
from tests.story.lines import STAGES

HITS_A_SECOND = 500
CALM = 200
LATE_MS = 5.0  # p99 of how late a fetch was sent: above it the pace was not even
ARRIVE_SECONDS = 60.0


def measure(ground: Ground) -> dict[str, Any]:
    """The figure."""
    return uvloop.run(_measured(ground))


async def _measured(ground: Ground) -> dict[str, Any]:
    receiver = Receiver()
    origin = await receiver.open()
    ground.load(itertools.chain(profiles(ground.pace.profiles), mailings(), loop_rows([loop(0, origin)])))
    with ExitStack() as ending:
        stages = [ending.enter_context(await asyncio.to_thread(ground.start, stage)) for stage in STAGES]
        line = Line(ground, stages, receiver)
        await line.warm()
        runs = [await line.run(HITS_A_SECOND) for _ in range(ground.pace.runs)]
        calm = await line.run(CALM)
        line.readers.close()
    receiver.close()
    if (twice := ground.count(HITS) - line.opens) < 0:
        raise Implausible(f"line: of {line.opens} opens {-twice} made no hit")
    if twice:
        say(f"line: {twice} hits came twice: the broker was late with them, and they came from the disk, too")
    agree("line: POSTs received and attempts", len(receiver.posts), ground.count(ATTEMPTS))
    at_calm = {f"{name}_at_{CALM}": round(value, 2) for name, value in calm.percentiles.items()}
    return delays("line", runs) | {"hits_a_second": HITS_A_SECOND} | at_calm


class Line:
    """All stages at work, with readers at their one end and a customer at the other."""

    def __init__(self, ground: Ground, stages: list[Process], receiver: Receiver) -> None:
        self.readers = Readers(ground.settings.tracking_url)
        self.opens = 0
        self._ground = ground
        self._stages = stages
        self._receiver = receiver
        self._paths = _paths(ground)

    async def warm(self) -> None:
        """Before all of it, as long as one measured stretch: Java compiles what it runs, and takes a core for it."""
        await self._opened(self._ground.pace.steady, HITS_A_SECOND)

    async def run(self, rate: int) -> Run:
        """One measured stretch of so many hits a second, after its warming up."""
        pace = self._ground.pace
        await self._opened(pace.warm, rate)
        gc.collect()
        gc.disable()  # a pause of ours is no delay of theirs
        before, meter = len(self._receiver.posts), self._ground.meter(*self._stages)
        opened = await self._opened(pace.steady, rate)
        spent = meter.run(len(opened))
        gc.enable()
        told = percentiles(_delays(opened, self._receiver.posts[before:]))
        say(f"line at {rate}/s: p50 {told['p50']:.1f} ms, p95 {told['p95']:.1f}, p99 {told['p99']:.1f}")
        return spent._replace(percentiles=told | {"late_p99": _late(opened)})

    async def _opened(self, seconds: float, rate: int) -> dict[str, Opened]:
        """So many seconds of opens, by the id of their message, once their POSTs have come."""
        some = list(itertools.islice(self._paths, int(seconds * rate)))
        before = len(self._receiver.posts)
        self.opens += len(some)
        opened = await self.readers.open([path for _, path in some], rate)
        await self._come({message for message, _ in some}, before)
        return {message: one for (message, _), one in zip(some, opened, strict=True)}

    async def _come(self, left: set[str], seen: int) -> None:
        """Returns once each of these messages has its POST; some have two, where the broker was late with a hit."""
        posts, count = self._receiver.posts, len(left)
        try:
            async with asyncio.timeout(ARRIVE_SECONDS):
                while left:
                    await self._receiver.until(seen + 1, ARRIVE_SECONDS)
                    new = posts[seen:]
                    left.difference_update(map(_message, new))
                    seen += len(new)
        except TimeoutError:
            raise Implausible(f"line: of {count} opens {len(left)} have no POST") from None


def _paths(ground: Ground) -> Iterator[tuple[str, str]]:
    """Messages without end, of the profiles in turn, and where each one's pixel is."""
    kid, key = signing_key(link_keys(ground.settings), ACCOUNT)
    for number in itertools.count():
        message = f"message-{number}"
        link = Link(ACCOUNT, profile_id(number % ground.pace.profiles), mailing_id(number), message)
        yield message, f"/o/{sign(link, 'open', kid, key)}.gif"


def _message(post: Post) -> str:
    return parse_qs(post.body.decode())["id"][0]


def _delays(opened: Mapping[str, Opened], posts: Iterable[Post]) -> list[float]:
    """ms of each, from its request to its first POST."""
    came: dict[str, float] = {}
    for post in posts:
        came.setdefault(_message(post), post.at)
    return [(came[message] - one.sent) * 1000 for message, one in opened.items()]


def _late(opened: Mapping[str, Opened]) -> float:
    late = percentiles([(one.sent - one.due) * 1000 for one in opened.values()])["p99"]
    if late > LATE_MS:
        say(f"line: the readers were late, p99 {late:.1f} ms: this machine has too much to do")
    return late
