"""A gathering is a batch in the making: events in the order they came, up to what the loop wishes and Kafka takes."""

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from pipeline.model.loops import Batch

LARGEST_RECORD = 512 * 1024  # bytes of deliveries in one record: half of what brokers take, for histories and names
Item = TypeVar("Item")


class Weight(NamedTuple):
    """Bytes of an event: in the POST's body, and of its delivery as Kafka has it."""

    body: int
    record: int


NOTHING = Weight(2, 0)  # the brackets of an array


@dataclass(slots=True, eq=False)
class Gathering(Generic[Item]):
    """What is gathered so far, and what it weighs."""

    items: list[Item] = field(default_factory=list)
    weight: Weight = NOTHING

    def fits(self, wish: Batch, weight: Weight) -> bool:
        """Whether one more may go with it. Whatever is first goes, even if it is larger than all that was wished."""
        if not self.items:
            return True
        more = self._with(weight)
        return len(self.items) < wish.events and more.body <= wish.bytes and more.record <= LARGEST_RECORD

    def add(self, item: Item, weight: Weight) -> None:
        """One more."""
        self.weight = self._with(weight)
        self.items.append(item)

    def full(self, wish: Batch) -> bool:
        """Whether nothing more could go with it."""
        return len(self.items) >= wish.events or self.weight.body >= wish.bytes or self.weight.record >= LARGEST_RECORD

    def _with(self, more: Weight) -> Weight:
        comma = 1 if self.items else 0
        return Weight(self.weight.body + comma + more.body, self.weight.record + more.record)
