"""A body of lines is cut as it comes; what is held is the beginning of one line."""

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
