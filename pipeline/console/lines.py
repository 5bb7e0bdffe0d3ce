"""A body of lines is cut as it comes; what is held is the beginning of one line."""

import msgspec

LIMIT = 64 * 1024


class Lines:
    """Pieces of a stream in, whole lines out, without their line feeds."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece. One longer than LIMIT may have lost its middle, but stays longer."""
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: LIMIT + 1]
        return lines

    def end(self) -> list[bytes]:
        """The last line, where no line feed ended it."""
        return [self._rest] if self._rest else []


class OneOrLines(Lines):
    """The same, where the body may also be one JSON value over several lines, of LIMIT bytes at most."""

    def __init__(self) -> None:
        super().__init__()
        self._start: bytes | None = b""  # of the body; None once it is known that lines they are

    def cut(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece, once the body is too long to be one value."""
        if self._start is None:
            return super().cut(piece)
        self._start += piece
        return self._lines() if len(self._start) > LIMIT else []

    def end(self) -> list[bytes]:
        """The value, or the lines that are left."""
        if self._start is not None and _is_json(self._start):
            return [self._start]
        return [*(self._lines() if self._start is not None else ()), *super().end()]

    def _lines(self) -> list[bytes]:
        start, self._start = self._start or b"", None
        return super().cut(start)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
