"""Many profiles, or hits, in one call, a line each: taken or rejected by itself, and sent in batches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from pipeline.console import problems
from pipeline.console.forms import ProfileLine
from pipeline.console.lines import LIMIT
from pipeline.console.shown import LoadShown, RejectedShown
from pipeline.record import Record

BATCH_LINES = 1000
BATCH_BYTES = 1024 * 1024
MOST_REJECTED = 10_000
BOM = b"\xef\xbb\xbf"  # some programs begin a file with it; RFC 8259 section 8.1 lets readers pass over it

Made = Callable[[bytes], Record]
Form = TypeVar("Form", bound=BaseModel)


class Load:
    """One call's lines. `made` is the record of a line; its ValueError says what is wrong with the line."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._lines = 0
        self._accepted = 0
        self._rejected: list[RejectedShown] = []
        self._unlisted = 0
        self._batch: list[Record] = []
        self._bytes = 0

    def take(self, lines: Iterable[bytes]) -> Iterator[list[Record]]:
        """Judges the lines, and hands out what came of each thousand of them, or of a megabyte: nothing, it may be."""
        for line in lines:
            self._lines += 1
            self._judge(line.removeprefix(BOM) if self._lines == 1 else line)
            if self._lines % BATCH_LINES == 0 or self._bytes >= BATCH_BYTES:
                yield self.rest()

    def rest(self) -> list[Record]:
        """What was not handed out yet."""
        batch, self._batch, self._bytes = self._batch, [], 0
        return batch

    def shown(self) -> LoadShown:
        """How many lines were taken, and what was wrong with the others."""
        return LoadShown(accepted=self._accepted, rejected=self._rejected, unlisted=self._unlisted)

    def _judge(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            record = self._made(line)
        except ValueError as wrong:
            self._reject(str(wrong))
            return
        self._batch.append(record)
        self._bytes += len(line)
        self._accepted += 1

    def _reject(self, error: str) -> None:
        if len(self._rejected) < MOST_REJECTED:
            self._rejected.append(RejectedShown(line=self._lines, error=error))
        else:
            self._unlisted += 1


def read(line: bytes) -> ProfileLine:
    """The profile of a line; ValueError says what is wrong with it."""
    return checked(decoded(line), ProfileLine)


def decoded(line: bytes) -> Any:  # noqa: ANN401 (any JSON)
    """The JSON of a line; ValueError where it is none."""
    if len(line) > LIMIT:
        raise ValueError(f"is longer than {LIMIT} bytes")
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise ValueError(f"is not JSON: {wrong}") from wrong


def checked(data: object, form: type[Form]) -> Form:
    """The form that JSON fills in; ValueError says what is wrong with it."""
    try:
        return form.model_validate(data)
    except ValidationError as wrong:
        raise ValueError(problems.sentence(problems.wrongs(wrong.errors()))) from wrong
