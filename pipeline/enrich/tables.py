"""The tables a hit is joined with: what each row adds to an event, by key, as the compacted topics have it."""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from pipeline.enrich.join import Rows, Tail, UnreadableError, profile_tail, tags_tail

log = logging.getLogger(__name__)

Safe = Callable[[], int | None]  # changes below that offset of `profiles` were told; None while that is not known


class Shelf(Protocol):
    """The profiles of one partition, used by the thread that reads; only what `rows` gave is another's to look at."""

    @property
    def start(self) -> int:
        """The offset of `profiles` to read on from."""
        ...

    def put(self, offset: int, key: bytes, tail: Tail | None) -> None:
        """The row as the record at that offset leaves it; None where it is erased."""
        ...

    def get(self, key: bytes) -> Tail | None:
        """The row as it is now."""
        ...

    def rows(self, keys: Iterable[bytes]) -> Rows:
        """Rows among which those of the keys are, as they are now or become later."""
        ...

    def keep(self, began: float) -> None:
        """Makes last what was told. All that `profiles` held at that Unix time was put."""
        ...

    def close(self) -> None:
        """The partition is another worker's."""
        ...

    @property
    def size(self) -> int:
        """About how many bytes the rows have."""
        ...

    def __len__(self) -> int: ...


class MemoryShelf:
    """Rows in a dictionary: read from the first record on at each start."""

    start = 0

    def __init__(self) -> None:
        self._rows: dict[bytes, Tail] = {}
        self.size = 0

    def put(self, _offset: int, key: bytes, tail: Tail | None) -> None:
        before = self._rows.get(key)
        if before is not None:
            self.size -= len(key) + len(before)
        if tail is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = tail
            self.size += len(key) + len(tail)

    def get(self, key: bytes) -> Tail | None:
        return self._rows.get(key)

    def rows(self, _keys: Iterable[bytes]) -> Rows:
        return self._rows

    def keep(self, began: float) -> None:
        pass

    def close(self) -> None:
        pass

    def __len__(self) -> int:
        return len(self._rows)


class Shelves(Protocol):
    """Where shelves come from."""

    def open(self, partition: int, safe: Safe) -> Shelf:
        """The shelf of a partition that is ours."""
        ...

    def keep(self) -> None:
        """Looks, now and then, after what nobody has open."""
        ...

    def close(self) -> None:
        """Once all shelves are closed."""
        ...


class InMemory:
    """Each partition begins empty."""

    def open(self, _partition: int, _safe: Safe) -> Shelf:
        return MemoryShelf()

    def keep(self) -> None:
        pass

    def close(self) -> None:
        pass


class Tables:
    """Profiles by partition, so that those of a lost partition can go; mailings all together, in memory.

    A row that can't be read changes nothing: what was known before it still holds.
    """

    def __init__(self, shelves: Shelves | None = None) -> None:
        self._source = InMemory() if shelves is None else shelves
        self._shelves: dict[int, Shelf] = {}
        self.tags: dict[bytes, Tail] = {}
        self.unreadable = 0

    def own(self, partition: int, safe: Safe) -> int:
        """The partition is ours: where to read on in `profiles`."""
        shelf = self._shelves[partition] = self._source.open(partition, safe)
        return shelf.start

    def profiles(self, partition: int, keys: Iterable[bytes]) -> Rows:
        """Profiles of the partition, those of the keys at least."""
        return self._shelves[partition].rows(keys)

    def profile(self, partition: int, key: bytes) -> Tail | None:
        """One profile of the partition, as it is now."""
        return self._shelves[partition].get(key)

    def put_profile(self, partition: int, offset: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `profiles`; a null erases."""
        if value is None:
            self._shelves[partition].put(offset, key, None)
            return
        try:
            self._shelves[partition].put(offset, key, profile_tail(key, value))
        except UnreadableError as wrong:
            self._pass_over(key, wrong)

    def put_tags(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `tags`; a null erases."""
        if value is None:
            self.tags.pop(key, None)
            return
        try:
            self.tags[key] = tags_tail(key, value)
        except UnreadableError as wrong:
            self._pass_over(key, wrong)

    def keep(self, began: float) -> None:
        """Makes last what can be. All that `profiles` held at that Unix time was put."""
        for shelf in self._shelves.values():
            shelf.keep(began)
        self._source.keep()

    def drop(self, partitions: Iterable[int]) -> None:
        """Forgets the profiles of partitions that are another worker's now."""
        for partition in partitions:
            if (shelf := self._shelves.pop(partition, None)) is not None:  # an empty one is false
                shelf.close()

    def close(self) -> None:
        """Forgets all profiles, and lets go of what was open for them."""
        self.drop(list(self._shelves))
        self._source.close()

    @property
    def size(self) -> int:
        """About how many bytes the profiles at hand have."""
        return sum(shelf.size for shelf in list(self._shelves.values()))

    def __len__(self) -> int:
        return len(self.tags) + sum(map(len, list(self._shelves.values())))

    def _pass_over(self, key: bytes, wrong: UnreadableError) -> None:
        self.unreadable += 1
        log.warning("a table row can't be read and is passed over: %s: %s", key.decode(errors="replace"), wrong)
