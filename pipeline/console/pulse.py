"""Whether Kafka still answers who only listens: what was read says so, and in silence a question put to it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

ASK_SECONDS = 2.0  # of silence; a quiet topic looks like a broker that is gone
PATIENCE_SECONDS = 3.0  # a broker that restarts or moves a leader is back by then, mostly


class Pulse:
    """`ask` puts a question to Kafka on a thread of its own; times are seconds of a clock that never goes back."""

    def __init__(self, ask: Callable[[], "Future[Any]"], now: float) -> None:
        self._ask = ask
        self._heard = now
        self._question: Future[Any] | None = None

    def beats(self, now: float, *, heard: bool) -> bool:
        """Whether it is alive; `heard`: something was read just now. One question is open at a time."""
        if self._question is not None and self._question.done():
            heard = heard or self._question.exception() is None
            self._question = None
        if heard:
            self._heard = now
        elif self._question is None and now - self._heard >= ASK_SECONDS:
            self._question = self._ask()
        return now - self._heard < ASK_SECONDS + PATIENCE_SECONDS
