"""Order in an `ordered` loop: what waits in the retry topics holds its profile's later events back, and nobody else's.

A delivery's place among its loop's is its offset in `deliveries`, which its retry records carry along.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from pipeline.model.deliveries import Delivery

PAST = 2**62  # what was missed or is sent again comes before all that happens now
MOST = 20_000  # deliveries of a loop that wait and are known of; what is more is not waited for
AFTER_SECONDS = 1.0  # behind the one it waits for


class Whose(msgspec.Struct):
    """Of an event, whose it is."""

    profile: str


_whose = msgspec.json.Decoder(Whose)


def profile_of(delivery: Delivery) -> str:
    """Whose event it is; "" where that can't be read: then it is nobody's, and dies when its turn comes."""
    try:
        return _whose.decode(delivery.event).profile
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def placed(delivery: Delivery, offset: int, past: bool) -> Delivery:
    """The delivery with its place, which it has once and for all."""
    if delivery.place is not None:
        return delivery
    return msgspec.structs.replace(delivery, place=offset - PAST if past else offset)


@dataclass(slots=True)
class Order:
    """Which deliveries of one loop wait in the retry topics, and until when (Unix seconds), by profile and place."""

    number: int  # the partition it is about
    _waiting: defaultdict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    _count: int = 0

    def before(self, profile: str, place: int) -> float | None:
        """When the last of those is due that have to go before it; None where there is none."""
        return max((due for other, due in self._waiting.get(profile, {}).items() if other < place), default=None)

    def waits(self, profile: str, place: int, due: float) -> None:
        """It waits until then."""
        if place not in self._waiting.get(profile, {}):
            if self._count >= MOST:
                return
            self._count += 1
        self._waiting[profile][place] = due

    def gone(self, profile: str, place: int) -> None:
        """It waits for nothing any more."""
        waiting = self._waiting.get(profile, {})
        if waiting.pop(place, None) is not None:
            self._count -= 1
            if not waiting:
                del self._waiting[profile]

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting


class Orders:
    """The order of each ordered loop that has deliveries waiting."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}

    def before(self, delivery: Delivery, profile: str) -> float | None:
        """When the last of those is due that have to go before the delivery; None where it may go."""
        order = self._orders.get(delivery.loop) if profile else None
        return order.before(profile, delivery.place) if order and delivery.place is not None else None

    def waits(self, delivery: Delivery, profile: str, number: int, due: float) -> None:
        """The delivery, read from a partition of that number, waits until then."""
        if delivery.place is not None:
            self._orders.setdefault(delivery.loop, Order(number)).waits(profile, delivery.place, due)

    def gone(self, delivery: Delivery, profile: str) -> None:
        """The delivery waits for nothing any more."""
        order = self._orders.get(delivery.loop)
        if order and delivery.place is not None:
            order.gone(profile, delivery.place)

    def drop(self, loop: str) -> None:
        """The loop is not ordered, or no more: nobody says which of its deliveries still wait."""
        self._orders.pop(loop, None)

    def forget(self, numbers: Iterable[int]) -> None:
        """Partitions of these numbers are another worker's."""
        others = set(numbers)
        self._orders = {loop: order for loop, order in self._orders.items() if order.number not in others}
