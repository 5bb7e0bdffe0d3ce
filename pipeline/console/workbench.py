"""Links are made beside the event loop, so that other calls are answered while a large mail is rewritten.

A part of the door. Small bodies have a thread of their own and don't wait for large ones. A thread hands the GIL over
each 5 ms, which is what others wait for; a process would save them that, and take 60 MB.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.console.console import CrowdedError

Made = TypeVar("Made")

SMALL_BYTES = 64 * 1024
MOST_BYTES = 32 * 1024 * 1024  # of bodies that wait or are worked on: seconds of work, and what memory they may take


class Workbench:
    """Two threads, and what waits for them."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._small = ThreadPoolExecutor(1, "small")
        self._large = ThreadPoolExecutor(1, "large")
        self._most = most
        self._held = 0

    async def do(self, size: int, work: Callable[[], Made]) -> Made:
        """What `work` makes of a body of `size` bytes, on a thread; CrowdedError where too much waits already."""
        if self._held + size > self._most:
            raise CrowdedError
        thread = self._small if size <= SMALL_BYTES else self._large
        self._held += size
        doing = asyncio.get_running_loop().run_in_executor(thread, work)
        doing.add_done_callback(lambda _done: self._let_go(size))  # also where nobody waits for it any more
        return await doing

    def close(self) -> None:
        """Ends the threads; what waits is not begun."""
        for thread in (self._small, self._large):
            thread.shutdown(cancel_futures=True)

    def _let_go(self, size: int) -> None:
        self._held -= size
