"""A job is a delivery on its way through this process, and knows where it came from."""

from typing import Generic, TypeVar

import msgspec

from pipeline.model.deliveries import Delivery
from pipeline.record import Record

Place = tuple[str, int]
Mark = TypeVar("Mark")


class Job(msgspec.Struct, Generic[Mark], eq=False):
    """A delivery, or the dead letter of a record that held none; `mark` is what the World knows it by.

    One that is `past`, of a replay or missed and sent later, lets what happens now go first. `size` is bytes.
    """

    what: Delivery | Record
    mark: Mark
    past: bool = False
    size: int = 0
    offset: int = 0
    number: int = 0  # of its partition
    profile: str = ""  # whose event it is, where its loop is ordered
    came: float = 0.0  # when it was fetched, by the clock that is never set
    until: float = 0.0  # how long it waits where it is, by the clock that is never set
    began: float = 0.0  # its POST
    quick: bool = False  # whether its slot is one of the quick

    @property
    def delivery(self) -> Delivery:
        """What it is, where it is no dead letter."""
        if isinstance(self.what, Record):
            raise TypeError("a dead letter is no delivery")
        return self.what
