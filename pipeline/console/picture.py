"""The picture of accounts and loops, as the compacted topics tell it, record by record."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec

from pipeline.model.accounts import Account
from pipeline.model.loops import AnyState, Failing, Loop, LoopState, failing_key
from pipeline.model.replays import Replays
from pipeline.topics import ACCOUNTS, LOOP_STATES, LOOPS, REPLAY_STATES

log = logging.getLogger(__name__)
TOPICS = (ACCOUNTS, LOOPS, LOOP_STATES, REPLAY_STATES)


class Row(NamedTuple):
    """One record of a compacted topic; a value of None takes the row away."""

    topic: str
    key: bytes
    value: bytes | None


class Picture:
    """Belongs to the event loop: changed by `apply` alone, in the order of the topics."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.found: dict[str, LoopState] = {}
        self._failing: dict[str, Failing] = {}  # by the key of its row
        self.replays = Replays()
        self._loops: dict[str, Loop] = {}
        self._owned: dict[str, set[str]] = {}
        self._account_of: dict[str, str] = {}
        self._apply: dict[str, Callable[[str, bytes | None], None]] = {
            ACCOUNTS: self._put_account,
            LOOPS: self._put_loop,
            LOOP_STATES: self._put_found,
            REPLAY_STATES: lambda name, value: self.replays.put(0, name.encode(), value),
        }

    def apply(self, row: Row) -> None:
        """What the record says; one that can't be read changes nothing, and the log says so."""
        try:
            self._apply[row.topic](row.key.decode(), row.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            log.error("%s: the record of %r can't be read: %s", row.topic, row.key, wrong)  # noqa: TRY400

    def account_with(self, key_hash: str) -> str | None:
        """The account whose API key has this hash."""
        return self._account_of.get(key_hash)

    def loop(self, account: str, loop: str) -> Loop | None:
        """The account's loop; another account's is none."""
        found = self._loops.get(loop)
        return found if found is not None and found.account == account else None

    def failing(self, loop: Loop) -> datetime | None:
        """Since when the loop only fails, where that was so long that its account was told."""
        found = self._failing.get(failing_key(loop.id).decode())
        return found.since if found is not None and found.warned and found.epoch == loop.epoch else None

    def loops_of(self, account: str) -> list[Loop]:
        """The account's loops, the oldest first."""
        loops = [self._loops[loop] for loop in self._owned.get(account, ())]
        return sorted(loops, key=lambda loop: (loop.created_at, loop.id))

    def _put_account(self, name: str, value: bytes | None) -> None:
        new = None if value is None else msgspec.json.decode(value, type=Account)
        old = self.accounts.pop(name, None)
        for key in old.keys if old else ():
            self._account_of.pop(key.hash, None)
        if new is not None:
            self.accounts[name] = new
            self._account_of.update({key.hash: name for key in new.keys})

    def _put_loop(self, name: str, value: bytes | None) -> None:
        new = None if value is None else msgspec.json.decode(value, type=Loop)
        old = self._loops.pop(name, None)
        if old is not None:
            self._owned[old.account].discard(name)
        if new is not None:
            self._loops[name] = new
            self._owned.setdefault(new.account, set()).add(name)

    def _put_found(self, name: str, value: bytes | None) -> None:
        found = None if value is None else msgspec.json.decode(value, type=AnyState)
        self.found.pop(name, None)
        self._failing.pop(name, None)
        if isinstance(found, LoopState):
            self.found[name] = found
        elif isinstance(found, Failing):  # what a loop missed is route's business
            self._failing[name] = found
