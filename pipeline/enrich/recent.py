"""Rows lately asked for, at hand in memory, in a bounded number of bytes."""

from pipeline.enrich.join import Tail

ROW_BYTES = 180  # that Python takes for a row beside its key and its tail


class Recent:
    """Two generations: when the young one is full it becomes the older, whose rows come back as they are asked for.

    So a look-up of a row at hand is one of a dictionary, and nothing is moved about for it. `rows` may be read by
    another thread; a full dictionary is left to whoever still reads it.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Tail] = {}
        self._older: dict[bytes, Tail] = {}
        self._bytes = 0

    def make_room(self, limit: int) -> None:
        """Begins a generation where the young one takes more than `limit` bytes."""
        if self._bytes > limit:
            self.rows, self._older, self._bytes = {}, self.rows, 0

    def add(self, key: bytes, tail: Tail) -> None:
        """A row that was asked for."""
        self.rows[key] = tail
        self._bytes += len(key) + len(tail) + ROW_BYTES

    def older(self, key: bytes) -> Tail | None:
        """A row of the older generation."""
        return self._older.get(key)

    def change(self, key: bytes, tail: Tail | None) -> None:
        """The row changed, or is no more. Both generations may still be read for a batch, so both are told."""
        if not (self.rows or self._older):
            return  # while rows are loaded nobody asks for any
        if (before := self.rows.get(key)) is not None:
            self._bytes += len(tail) - len(before) if tail is not None else -len(key) - len(before) - ROW_BYTES
        for rows in (self.rows, self._older):
            if key in rows:
                if tail is None:
                    del rows[key]
                else:
                    rows[key] = tail
