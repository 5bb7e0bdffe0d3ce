"""What the console is made of: its keys, its directory, and the effects it may have on the world."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection

from pipeline.console.directory import Directory
from pipeline.console.limits import Limits
from pipeline.console.live import Glance, Wanted
from pipeline.console.loop_health import LoopHealth, NothingKnown
from pipeline.console.seals import Random, Seals
from pipeline.console.sought import Sought
from pipeline.console.track import Tracking
from pipeline.console.trial import Answered
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.stage import Post
from pipeline.model.events import Event
from pipeline.model.lanes import LaneNow
from pipeline.model.replays import Range
from pipeline.settings import Network
from pipeline.verification import Fetched


class Scan(NamedTuple):
    """Events that a scan found, the oldest first; `cut` where there were more records than it looks at."""

    events: list[Event]
    cut: bool


class StillLookedForError(Exception):
    """The search for an event goes on."""


class NotReadError(Exception):
    """The search for an event ended without an answer; the message says why, as a part of a sentence."""


class Past(Protocol):
    """What Kafka knows of the past."""

    def ranges(self, since: datetime, until: datetime) -> Awaitable[list[Range]]:
        """Where the events stand that were written from `since` to before `until`, a range for each partition."""
        ...

    def delivered(self, ends: Mapping[int, int]) -> Awaitable[bool]:
        """Whether all before these offsets of `replays`, by partition, was posted once, or waits for a retry."""
        ...

    def event(self, sought: Sought, seconds: float) -> Awaitable[bytes | None]:
        """The event as it stands in `events`; None where it is no longer there.

        StillLookedForError after so many seconds: who asks again joins the same search. NotReadError where it ended
        without an answer.
        """
        ...

    def of_profile(self, account: str, profile: str, since: datetime) -> Awaitable[Scan | None]:
        """The profile's events that were written since then, as far as a bounded scan backward comes.

        None where Kafka does not give them in time.
        """
        ...


Fetch = Callable[[str], Awaitable[Fetched]]
Send = Callable[[Post], Awaitable[Answered]]
Answer = TypeVar("Answer")


class StoreAwayError(Exception):
    """The store of attempts gives no answer now; the message says why, for the log."""


class Store(Protocol):
    """Where attempts are asked for."""

    async def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """The answer to a question; StoreAwayError where there is none."""
        ...

    async def until(self, condition: Callable[[Connection], bool], seconds: float) -> bool:
        """Whether it came true within that time; StoreAwayError as above."""
        ...


class Keys(NamedTuple):
    """`admin` may be empty: then every admin call is refused. `master` is 32 bytes."""

    admin: str
    master: bytes


class Hashes(Protocol):
    """Slow hashes of passwords, made and compared beside the event loop."""

    def hash(self, password: str) -> Awaitable[str]:
        """The password as it is kept."""
        ...

    def matches(self, kept: str | None, password: str) -> Awaitable[bool]:
        """Whether it is the password; with nothing kept it takes as long, and is not."""
        ...


class CrowdedError(Exception):
    """So much work waits that no more is taken now."""


class Workbench(Protocol):
    """Where long work is done beside the event loop."""

    def do(self, size: int, work: Callable[[], Answer]) -> Awaitable[Answer]:
        """What `work` makes of so many bytes; CrowdedError where too much waits."""
        ...


class Watcher(Protocol):
    """One who watches live."""

    def next(self, seconds: float) -> Awaitable[Glance]:
        """What came; an empty glance after so many seconds without any."""
        ...


class Watching(Protocol):
    """What happens, live."""

    def has_room(self, account: str) -> bool:
        """Whether one more may watch this account."""
        ...

    def watch(self, account: str, wanted: Wanted) -> Watcher:
        """From now on: the account's own records, and no others."""
        ...

    def leave(self, watcher: Any) -> None:  # noqa: ANN401 (one that `watch` returned)
        """The watcher is gone."""
        ...


class Stage(NamedTuple):
    """A stage as it answers: `ready` and `version` are None where that is unknown."""

    name: str
    address: str
    ready: bool | None
    version: str | None


class Lag(NamedTuple):
    """How many records a group is behind the end of a topic, all partitions together."""

    group: str
    topic: str
    records: int


class Held(NamedTuple):
    """A topic: how many records it holds at most; in a compacted one there are fewer."""

    topic: str
    partitions: int
    records: int


class Plant(NamedTuple):
    """The whole installation now; `topics` and `lags` are None where Kafka does not answer at once."""

    stages: list[Stage]
    topics: list[Held] | None
    lags: list[Lag] | None
    recording: bool
    recorded: int
    skipped: int


class System(Protocol):
    """What is known of the installation."""

    def look(self) -> Awaitable[Plant]:
        """Within a second; what does not answer by then is unknown."""
        ...

    def lane(self, loop: str) -> Awaitable[LaneNow | None]:
        """How a loop's POSTs go now, within a second; None where no deliver process that has the loop is reached."""
        ...


class Effects(NamedTuple):
    """The time (aware, UTC), a clock of seconds that never goes back, the randomness (so many bytes), one guarded GET
    of an address, one guarded POST, what Kafka knows of the past, slow hashes, long work beside the event loop, what
    happens now, and how the installation stands.
    """

    now: Callable[[], datetime]
    clock: Callable[[], float]
    random: Random
    fetch: Fetch
    send: Send
    past: Past
    hashes: Hashes
    workbench: Workbench
    watching: Watching
    system: System


@dataclass(frozen=True)
class Taken:
    """Dead letters that were taken away, by loop, whoever asked: API or page. Belongs to the event loop.

    `due` is the Unix time from which the next may be redriven; `gone` are the numbers of those that the store may have
    still, since the recorder has not seen it yet.
    """

    due: dict[str, float] = field(default_factory=dict)
    gone: dict[str, set[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Console:
    """All that a call may need."""

    keys: Keys
    tracking: Tracking
    directory: Directory
    effects: Effects
    limits: Limits
    ready: Callable[[], bool]
    store: Store
    ladder: Ladder
    health: LoopHealth = field(default_factory=NothingKnown)
    taken: Taken = field(default_factory=Taken)
    proxies: tuple[Network, ...] = ()  # whose X-Forwarded-For counts

    @property
    def seals(self) -> Seals:
        """What seals and unseals the loops' secrets."""
        return Seals(self.keys.master, self.effects.random)
