"""Where messages come from: stdin, a file of one or of many (mbox), a maildir whose new ones are read once."""

import mailbox
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.cli.mistakes import Mistake

STDIN = "-"
LARGEST = 32 * 1024 * 1024


class Letter(NamedTuple):
    """A message, what to call it, and the file of a maildir it is in."""

    name: str
    data: bytes
    place: Path | None = None

    def put_away(self, *, told: bool) -> None:
        """Moves a new message of a maildir to those that were seen: marked as read where it told something."""
        if self.place is None:
            return
        stem = self.place.name.partition(":")[0]
        target = self.place.parent.parent / "cur" / f"{stem}:2,{'S' if told else ''}"
        try:
            self.place.rename(target)
        except OSError as wrong:
            raise Mistake(f"{self.place}: can't be moved to {target}: {wrong.strerror}") from wrong


def letters(source: str) -> Iterator[Letter]:
    """The messages of a source; Mistake where it can't be read."""
    try:
        if source == STDIN:
            yield Letter("stdin", _bare(sys.stdin.buffer.read(LARGEST)))
        elif Path(source).is_dir():
            yield from _maildir(Path(source))
        else:
            yield from _file(Path(source))
    except OSError as wrong:
        raise Mistake(f"{wrong.filename or source}: {wrong.strerror}") from wrong


def _file(path: Path) -> Iterator[Letter]:
    with path.open("rb") as file:
        start = file.read(5)
        data = start + file.read(LARGEST)
    if start != b"From ":
        yield Letter(str(path), data)
        return
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            yield Letter(f"{path}, message {number}", box.get_bytes(key))
    finally:
        box.close()


def _maildir(path: Path) -> Iterator[Letter]:
    new = path / "new"
    if not new.is_dir() or not (path / "cur").is_dir():
        raise Mistake(f"{path}: is no maildir: it has no new/ and cur/")
    for place in sorted(new.iterdir(), key=lambda one: (one.stat().st_mtime_ns, one.name)):
        if not place.name.startswith("."):
            with place.open("rb") as file:
                yield Letter(os.fspath(place), file.read(LARGEST), place)


def _bare(data: bytes) -> bytes:
    """Without the `From ` line that mail servers put before a message they pipe."""
    return data.partition(b"\n")[2] if data.startswith(b"From ") else data
