"""A lane's pace: so many POSTs a second and no more, as the loop's `rate` says."""

from dataclasses import dataclass

BURST_SECONDS = 0.1  # so much of a second's POSTs may go at once, one at least
LONGEST_BOOKING = 86_400.0


@dataclass(slots=True)
class Pace:
    """A token bucket, told as the time at which it would be full (GCRA). `now` is of a clock that is never set."""

    _full_at: float = 0.0
    _booked: float = 0.0

    def wait(self, rate: float | None, now: float) -> float:
        """Seconds until the next POST may begin, 0 where it may."""
        if rate is None:
            return 0.0
        burst = max(rate * BURST_SECONDS, 1.0) - 1.0
        return max(self._full_at - burst / rate - now, 0.0)

    def spend(self, rate: float | None, now: float) -> None:
        """A POST begins."""
        if rate is not None:
            self._full_at = max(self._full_at, now) + 1 / rate

    def gave_up(self, rate: float | None) -> None:
        """What began was no POST."""
        if rate is not None:
            self._full_at -= 1 / rate

    def book(self, rate: float, ahead: int, now: float) -> float:
        """In how many seconds it is the turn of one more that can't wait here, behind `ahead` that do.

        Each booking is behind the one before it, so what is held comes back as fast as it can be sent.
        """
        self._booked = min(max(self._booked, now + ahead / rate) + 1 / rate, now + LONGEST_BOOKING)
        return self._booked - now

    def free(self) -> None:
        """Nobody waits for a turn that was not booked: who comes from now on has none to wait for either."""
        self._booked = 0.0
