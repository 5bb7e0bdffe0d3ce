"""A thread of each worker follows `accounts`, so that the hit path looks nothing up; the last state is kept in DATA.

A part of the door: run.py alone uses it. What a capture that starts while Kafka is away does not know, it reads from
the file that one before it kept.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread

import msgspec
from confluent_kafka import KafkaException

from pipeline.capture.choices import UNKNOWN, Chosen, Row, chosen
from pipeline.kafka.mirror import Mirror
from pipeline.kafka.seam import Kafka
from pipeline.topics import ACCOUNTS

log = logging.getLogger(__name__)

GLANCE_SECONDS = 1.0  # what comes is taken at once; this is how long an idle look lasts
AGAIN_SECONDS = 1.0
FILE = "capture-accounts.json"

Take = Callable[[Chosen], None]


class Following:
    """The choices as `accounts` has them, told to `take` at each change. `own` is the installation's base of links."""

    def __init__(self, kafka: Kafka, own: str, keep: Path | None, take: Take) -> None:
        """`keep`: the file that this one writes, if any; one worker of a capture is enough."""
        self._kafka = kafka
        self._own = own
        self._keep = keep
        self._take = take
        self._rows: dict[bytes, Row] = {}
        self._changed = False

    def start(self) -> None:
        """Begins, on a thread that ends with the process."""
        Thread(target=self._run, name="accounts", daemon=True).start()

    def _run(self) -> None:
        said = ""
        while True:
            try:
                self._follow()
            except (KafkaException, KeyError) as away:  # KeyError: a topic that a Kafka in memory does not have
                why = away.args[0].str() if isinstance(away, KafkaException) else str(away)
                if why != said:
                    log.warning("capture: the choices of accounts can't be read, those known before hold: %s", why)
                said = why
                time.sleep(AGAIN_SECONDS)

    def _follow(self) -> None:
        self._rows = {}
        mirror = Mirror(self._kafka, {ACCOUNTS: self._apply})
        try:
            mirror.follow_all([ACCOUNTS])
            mirror.catch_up()
            self._tell()
            while True:
                mirror.take(GLANCE_SECONDS)
                if self._changed:
                    self._tell()
        finally:
            mirror.close()

    def _apply(self, _partition: int, account: bytes, value: bytes | None) -> None:
        before = self._rows.pop(account, None)
        try:
            row = msgspec.json.decode(value, type=Row) if value else None
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            log.warning("capture: %s: the record of %r can't be read: %s", ACCOUNTS, account, wrong)
            row = before
        if row and row.matters:
            self._rows[account] = row
        self._changed = self._changed or before != self._rows.get(account)

    def _tell(self) -> None:
        self._changed = False
        self._take(chosen(self._rows.values(), self._own))
        if self._keep:
            _write(self._keep, self._rows.values())


def kept(path: Path, own: str) -> Chosen:
    """What a capture before kept; UNKNOWN where there is nothing that can be read."""
    try:
        return chosen(msgspec.json.decode(path.read_bytes(), type=list[Row]), own)
    except FileNotFoundError:
        return UNKNOWN
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        log.warning("capture: %s can't be read: %s", path, wrong)
        return UNKNOWN


def _write(path: Path, rows: Iterable[Row]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(list(rows)))
        draft.replace(path)
    except OSError as wrong:
        log.warning("capture: %s can't be written: %s", path, wrong)
