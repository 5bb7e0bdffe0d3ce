"""What dispatch can't decide by itself: clocks, network and Kafka, as it asks for them; tests replace it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline.deliver.jobs import Job, Mark, Place
from pipeline.deliver.stage import Post
from pipeline.record import Record


class World(Protocol[Mark]):
    """Everything outside."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def tick(self) -> float:
        """Seconds of a clock that is never set."""
        ...

    def lateness(self) -> float:
        """How many seconds this process is behind with its own work, 0 where it is in time: that fills lanes, too."""
        ...

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Calls `do` then."""
        ...

    def pause(self, place: Place, *, on: bool) -> None:
        """Fetches no more of the partition, or again."""
        ...

    def owned(self, job: Job[Mark]) -> bool:
        """Whether the job's partition is still ours; where it isn't, the job is given up."""
        ...

    def leaves(self, job: Job[Mark]) -> bool:
        """Whether the job's partition goes to another worker, and what is finished by then is still committed."""
        ...

    def begin(self, job: Job[Mark]) -> bool:
        """The job's offset is under way, unless its partition went meanwhile; called in the order of offsets."""
        ...

    def post(self, job: Job[Mark], post: Post) -> None:
        """Makes the call; `Dispatch.answered` is told, later."""
        ...

    def end(self, job: Job[Mark], records: list[Record]) -> None:
        """Writes the records; the job's offset is safe once they are."""
        ...

    def record(self, jobs: Sequence[Job[Mark]], record: Record) -> None:
        """Writes the one record that all the jobs become; the offset of each is safe once it is."""
        ...
