"""The tables a hit is joined with: what each row adds to an event, by key, as the compacted topics have it."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from pipeline.enrich.join import Rows, Tail, UnreadableError, profile_tail, tags_tail

log = logging.getLogger(__name__)


class Tables:
    """Profiles by partition, so that those of a lost partition can go; mailings all together.

    A row that can't be read changes nothing: what was known before it still holds.
    """

    def __init__(self) -> None:
        self._profiles: defaultdict[int, dict[bytes, Tail]] = defaultdict(dict)
        self.tags: dict[bytes, Tail] = {}
        self.unreadable = 0

    def profiles(self, partition: int) -> Rows:
        """The profiles of the hits in that partition."""
        return self._profiles[partition]

    def put_profile(self, partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `profiles`; a null erases."""
        self._put(self._profiles[partition], profile_tail, key, value)

    def put_tags(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `tags`; a null erases."""
        self._put(self.tags, tags_tail, key, value)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forgets the profiles of partitions that are another worker's now."""
        for partition in partitions:
            self._profiles.pop(partition, None)

    def __len__(self) -> int:
        return len(self.tags) + sum(map(len, self._profiles.values()))

    def _put(
        self, rows: dict[bytes, Tail], tail: Callable[[bytes, bytes], Tail], key: bytes, value: bytes | None
    ) -> None:
        if value is None:
            rows.pop(key, None)
            return
        try:
            rows[key] = tail(key, value)
        except UnreadableError as wrong:
            self.unreadable += 1
            log.warning("a table row can't be read and is passed over: %s: %s", key.decode(errors="replace"), wrong)
