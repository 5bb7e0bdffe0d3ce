"""Calls to customers' servers, guarded, for whoever waits for their answers on the event loop."""

import asyncio
from collections.abc import Callable

from pipeline.calls import Calls
from pipeline.deliver.stage import Post
from pipeline.outbound import Answer, Request
from pipeline.verification import LIMIT, SECONDS

STOPPING = Answer(error="the console stops: try again")


class Fetcher:
    """Verification files and trials, by way of `calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._waiting: set[asyncio.Future[Answer]] = set()
        self._stopping = False

    async def fetch(self, url: str) -> Answer:
        """What stands there; of a body one byte more than LIMIT is read, so that a larger one shows."""
        return await self._call(Request(url, seconds=SECONDS, limit=LIMIT + 1))

    async def send(self, post: Post) -> Answer:
        """What the loop's server answers, within the time and size that a delivery's answer has."""
        return await self._call(Request(post.loop.url, post.body, post.headers))

    async def _call(self, request: Request) -> Answer:
        if self._stopping:
            return STOPPING
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.add(answered)
        answered.add_done_callback(self._waiting.discard)
        self._calls.start(request, _once(answered))
        return await answered

    def give_up(self) -> None:
        """Whoever waits is told that the console stops."""
        self._stopping = True
        for answered in list(self._waiting):
            _once(answered)(STOPPING)


def _once(answered: asyncio.Future[Answer]) -> Callable[[Answer], None]:
    return lambda answer: None if answered.done() else answered.set_result(answer)
