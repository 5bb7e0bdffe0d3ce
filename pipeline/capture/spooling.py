"""When a hit goes to the spool instead of the broker, and how fast the spool is emptied again."""

from typing import NamedTuple

FEW = 3  # failures in a row, and new hits don't wait for the broker any more
PROBE_SECONDS = 1.0  # then one record of the spool asks the broker so often
STEP_SECONDS = 0.02
MOST = 100  # records a step: 5,000 a second of each worker
BEHIND = 10  # as long as new hits wait for long
IN_FLIGHT = 1_000  # drained records whose acknowledgement is awaited, at most
ALARM = 0.8  # of SPOOL_LIMIT: from there on the log says so


class Broker(NamedTuple):
    """What capture thinks of its broker: how many hits in a row it did not acknowledge in time."""

    failures: int = 0

    @property
    def trusted(self) -> bool:
        """Whether new hits are sent to it; if not, they go straight to the spool."""
        return self.failures < FEW

    def failed(self) -> "Broker":
        """After a hit that was refused, or not acknowledged in time."""
        return Broker(min(FEW, self.failures + 1))


class Flow(NamedTuple):
    """How the spool is drained: with one record at first, with more while they are acknowledged.

    `window` is how many may be on their way, `since` (seconds) when the last one failed.
    """

    window: int = 1
    since: float = float("-inf")

    def acknowledged(self) -> "Flow":
        """After a record that the broker took."""
        return self._replace(window=min(IN_FLIGHT, self.window * 2))

    def failed(self, now: float) -> "Flow":
        """After one that it did not take: the next is a probe again."""
        return Flow(1, now)

    def allowed(self, now: float, under_way: int, waiting: float, deadline: float) -> int:
        """How many records may be sent in this step.

        `under_way` are sent and not acknowledged; a new hit waits since `waiting` seconds. New hits come first: while
        one waits for half of its deadline, the spool keeps to a tenth of its pace.
        """
        if now - self.since < PROBE_SECONDS:
            return 0
        most = BEHIND if waiting > deadline / 2 else MOST
        return max(0, min(most, self.window - under_way))


def fits(used: int, more: int, limit: int) -> bool:
    """Whether a spool of `used` bytes may grow by `more`."""
    return used + more <= limit
