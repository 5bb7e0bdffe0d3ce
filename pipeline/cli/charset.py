"""A file's bytes as text that gives back the same bytes, whatever they are."""

import re
from typing import NamedTuple

# Where a file says it, as browsers look for it: in its first 1,024 bytes.
_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_LOOKED_AT = 1024
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
UTF_8 = "utf-8"


class Text(NamedTuple):
    """`text` and how it is written; bytes that are no UTF-8 stand in it as lone surrogates (PEP 383)."""

    text: str
    charset: str
    errors: str = "strict"

    def encoded(self, text: str) -> bytes:
        """Another text as the file would hold it."""
        return text.encode(self.charset, self.errors)


def read(data: bytes, given: str | None = None) -> Text:
    """By byte order mark, as `given`, as the file declares it, as UTF-8. LookupError where there is no such charset."""
    if given:
        "".encode(given)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    declared = _DECLARED.search(data[:_LOOKED_AT])
    for name in (marked, given, declared and declared[1].decode(), UTF_8):
        if name and (text := _exactly(data, name)) is not None:
            return Text(text, name)
    return Text(data.decode(UTF_8, "surrogateescape"), UTF_8, "surrogateescape")


def _exactly(data: bytes, charset: str) -> str | None:
    """The text, where the charset reads these bytes and writes the same."""
    try:
        text = data.decode(charset)
        return text if text.encode(charset) == data else None
    except (LookupError, UnicodeError):
        return None
