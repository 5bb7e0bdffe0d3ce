"""A breaker stops sending to a server that is broken, and lets one POST through now and then to see whether it is well.

What a server that fails costs: its POSTs take slots, and for each it would get the whole backlog again and again.
"""

from dataclasses import dataclass

from pipeline.model.lanes import Breaker as Breaking

FAILURES = 10  # in a row
SECONDS = 30.0  # and for as long: a server that is started anew, or answers a single 500, gets its retries in time
PROBE_SECONDS = 5.0  # from its opening to the first probe; twice as long after each probe that failed
LONGEST_PROBE_SECONDS = 60.0

State = Breaking


@dataclass(slots=True)
class Breaker:
    """Closed it lets all through, open none; half-open one at a time. `now` is of a clock that is never set."""

    _failures: int = 0
    _first: float = 0.0  # when the first of them began
    _opened: float | None = None
    _interval: float = PROBE_SECONDS
    _probing: bool = False

    def state(self, now: float) -> State:
        """What it does now."""
        if self._opened is None:
            return "closed"
        return "half-open" if self._probing or now >= self._opened + self._interval else "open"

    def lets(self, now: float) -> bool:
        """Whether a POST may begin."""
        return self._opened is None or (not self._probing and self.state(now) == "half-open")

    def began(self) -> None:
        """A POST begins: the probe, where it is not closed."""
        self._probing = self._opened is not None

    def gave_up(self) -> None:
        """A POST that began came to nothing, and says nothing."""
        self._probing = False

    def well(self) -> None:
        """The server works: it answered, and not by 5xx."""
        self._failures, self._opened, self._interval, self._probing = 0, None, PROBE_SECONDS, False

    def badly(self, began: float, now: float) -> None:
        """No answer, or a 5xx, to a POST that began then. What began before it opened says nothing new."""
        if self._opened is not None:
            if began >= self._opened:
                self._opened, self._probing = now, False
                self._interval = min(self._interval * 2, LONGEST_PROBE_SECONDS)
            return
        if not self._failures:
            self._first = began
        self._failures += 1
        if self._failures >= FAILURES and now - self._first >= SECONDS:
            self._opened = now
