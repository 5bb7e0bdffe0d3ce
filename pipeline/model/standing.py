"""How loops stand: what the console wrote of each, and what deliver found out, as the topics have it."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec

from pipeline.model.loops import (
    AnyState,
    Checked,
    Failing,
    Hold,
    Loop,
    LoopState,
    Reason,
    State,
    checked_key,
    state_of,
)

log = logging.getLogger(__name__)
Row = TypeVar("Row")
_loop = msgspec.json.Decoder(Loop)
_state = msgspec.json.Decoder(AnyState)


class Standing(NamedTuple):
    """A loop and its state; a `reason` where it is disabled."""

    loop: Loop
    state: State
    reason: Reason | None


class Standings:
    """All loops by id and by account. A row that can't be read changes nothing.

    Written by one thread; others may read.
    """

    def __init__(self) -> None:
        self._loops: dict[str, Loop] = {}
        self._found: dict[str, AnyState] = {}
        self._standing: dict[str, Standing] = {}
        self._accounts: defaultdict[str, dict[str, Standing]] = defaultdict(dict)
        self._failing: dict[str, int] = {}  # loop -> the epoch in which nothing but failures came

    def get(self, loop: str) -> Standing | None:
        """How the loop stands; None where there is none, or none any more."""
        return self._standing.get(loop)

    def is_active(self, loop: str) -> bool:
        """Whether the loop is sent to."""
        standing = self._standing.get(loop)
        return standing is not None and standing.state == "active"

    def fails(self, loop: Loop) -> bool:
        """Whether nothing but failures came of the loop's POSTs, for so long that it was written down."""
        return self._failing.get(loop.id) == loop.epoch

    def flows(self, loop: str) -> bool:
        """Whether what happens goes to the loop at once: it is sent to, and does not only fail."""
        standing = self._standing.get(loop)
        return standing is not None and standing.state == "active" and not self.fails(standing.loop)

    def of(self, account: str) -> Iterable[Standing]:
        """The loops of an account."""
        return tuple(self._accounts.get(account, {}).values())

    def holds(self, partition: int) -> list[Hold]:
        """What loops missed of that partition of `events`."""
        return [found for found in self._found.values() if isinstance(found, Hold) and found.partition == partition]

    def failing(self, loop: str) -> Failing | None:
        """Since when the loop only fails, as far as that was written down."""
        found = self._found.get(f"{loop}/failing")  # its key as text; it is asked at each POST
        return found if isinstance(found, Failing) else None

    def warned(self, loop: str) -> bool:
        """Whether it only fails, is not disabled for it, and its account was told."""
        if self._failing.get(loop) is None or (standing := self._standing.get(loop)) is None:
            return False
        found = self.failing(loop)
        return found is not None and found.warned and self.fails(standing.loop) and standing.state == "active"

    def checked(self, loop: str) -> Checked | None:
        """When the loop's verification file was last looked for again."""
        found = self._found.get(checked_key(loop).decode())
        return found if isinstance(found, Checked) else None

    def every(self) -> Iterable[Standing]:
        """All loops."""
        return tuple(self._standing.values())

    def put_loop(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `loops`; a null removes."""
        self._put(self._loops, _loop, key, value)

    def put_state(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `loop-states`; a null forgets it."""
        self._put(self._found, _state, key, value)
        name, _, what = key.decode(errors="replace").partition("/")
        if what == "failing":
            found = self.failing(name)
            self._failing.pop(name, None)
            if found is not None:
                self._failing[name] = found.epoch

    def _put(self, rows: dict[str, Row], decoder: msgspec.json.Decoder[Row], key: bytes, value: bytes | None) -> None:
        loop = key.decode(errors="replace")
        try:
            if value is None:
                rows.pop(loop, None)
            else:
                rows[loop] = decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            log.warning("a loop's row can't be read and is passed over: %s: %s", loop, wrong)
        self._judge(loop)

    def _judge(self, loop: str) -> None:
        row, before = self._loops.get(loop), self._standing.get(loop)
        if before is not None and (row is None or row.account != before.loop.account):
            self._accounts[before.loop.account].pop(loop, None)
        if row is None:
            self._standing.pop(loop, None)
        else:  # put in by one assignment: who reads meanwhile finds the old one, never none
            found = self._found.get(loop)
            standing = Standing(row, *state_of(row, found if isinstance(found, LoopState) else None))
            self._standing[loop] = self._accounts[row.account][loop] = standing
