"""A file of profiles or mailings, CSV or NDJSON, row by row: each is ready to be sent, or rejected with its reason."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, NamedTuple

import msgspec

from pipeline.cli.mistakes import Mistake
from pipeline.model.ids import is_id

Format = Literal["csv", "ndjson"]
Cells = list[str]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
LINE_LIMIT = 1024 * 1024
SHOWN = 200
DELIMITERS = ",;\t"
BOM = b"\xef\xbb\xbf"
JSON_SPACE = b" \t\r\n"


class Good(NamedTuple):
    """A row to be sent: `body` is a JSON object. `line` is where it begins, `text` the row as it was."""

    line: int
    text: bytes
    id: str
    body: bytes


class Bad(NamedTuple):
    """A row that was rejected, and why."""

    line: int
    text: bytes
    why: str


class Kind(NamedTuple):
    """What the rows are. `lists` are columns of several words; where `fields` is set, unknown columns are fields."""

    name: str
    id: tuple[str, ...]
    texts: tuple[str, ...]
    lists: tuple[str, ...]
    fields: bool


PROFILES = Kind("profiles", ("id", "profile"), ("email",), ("interests",), fields=True)
MAILINGS = Kind("mailings", ("id", "mailing"), ("name",), ("tags",), fields=False)


class Lines:
    """The lines of a file, one in memory at a time; `number` is that of the last one, `taken` the bytes so far.

    What is longer than LINE_LIMIT is cut behind it, and the rest of that line passed over.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.number = 0
        self.taken = 0
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(LINE_LIMIT + 1):
            self.number += 1
            self.taken += len(line)
            if len(line) > LINE_LIMIT:
                self._pass_over(line)
            yield line.removeprefix(BOM) if self.number == 1 else line

    def _pass_over(self, part: bytes) -> None:
        while part and not part.endswith(b"\n"):
            part = self._file.readline(LINE_LIMIT)
            self.taken += len(part)


def read(lines: Lines, kind: Kind, form: Format) -> Iterator[Good | Bad]:
    """The rows, in order. Mistake where the file as a whole can't be used."""
    return _from_csv(lines, kind) if form == "csv" else _from_ndjson(lines, kind)


class _Named(msgspec.Struct):
    id: str | None = None


def _from_ndjson(lines: Lines, kind: Kind) -> Iterator[Good | Bad]:
    decoder = msgspec.json.Decoder(_Named)
    for line in lines:
        text = line.strip(JSON_SPACE)
        if not text:
            continue
        if lines.number == 1 and text.startswith(b"["):
            raise Mistake("this is one JSON array; NDJSON is an object a line (`jq -c '.[]'` makes it so)")
        yield _object(lines.number, text, kind, decoder)


def _object(number: int, text: bytes, kind: Kind, decoder: "msgspec.json.Decoder[_Named]") -> Good | Bad:
    if len(text) > LINE_LIMIT:
        return Bad(number, text[:SHOWN], f"is longer than {LINE_LIMIT} bytes")
    try:
        text.decode()  # the decoder looks at what it was asked for, and one bad byte would spoil a whole chunk
        named = decoder.decode(text)
        if named.id is None:
            return _renamed(number, text, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        return Bad(number, text, _json_wrong(wrong))
    return _checked(Good(number, text, named.id, text))


def _renamed(number: int, text: bytes, kind: Kind) -> Good | Bad:
    """The id may have the kind's own name, as it has in a CSV."""
    row = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if kind.id[1] not in row:
        return Bad(number, text, f"{_or(kind.id)} is missing")
    name = msgspec.json.decode(row.pop(kind.id[1]), type=str)
    row.pop("id", None)
    return _checked(Good(number, text, name, msgspec.json.encode({"id": name} | row)))


def _checked(row: Good) -> Good | Bad:
    if is_id(row.id):
        return row
    return Bad(row.line, row.text, "id: has 1 to 128 characters of A-Z a-z 0-9 . _ : @ + -")


def _json_wrong(wrong: Exception) -> str:
    if isinstance(wrong, msgspec.ValidationError):
        return str(wrong)
    return "is not UTF-8" if isinstance(wrong, UnicodeDecodeError) else f"is not JSON: {wrong}"


def _from_csv(lines: Lines, kind: Kind) -> Iterator[Good | Bad]:
    head = next(iter(lines), b"").decode("utf-8", "surrogateescape")
    if not head.strip():
        raise Mistake("line 1 must be the header, the names of the columns: it is empty")
    delimiter = max(DELIMITERS, key=head.count)
    try:
        cells = next(csv.reader([head], delimiter=delimiter, skipinitialspace=True))
    except csv.Error as wrong:
        raise Mistake(f"line 1 must be the header, the names of the columns: {wrong}") from wrong
    header = [name.strip() for name in cells]
    make = _maker(header, kind)
    raw: list[str] = []

    def texts() -> Iterator[str]:
        for line in lines:
            raw.append(line.decode("utf-8", "surrogateescape"))
            yield raw[-1]

    reader = csv.reader(texts(), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        raw.clear()
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            yield Bad(start, _text(raw), f"is not CSV: {wrong}{_hint(raw)}")
            continue
        if any(cells):
            yield _row(start, _text(raw), cells, make)


def _text(raw: Sequence[str]) -> bytes:
    return "".join(raw).encode("utf-8", "surrogateescape").rstrip(b"\r\n")


def _hint(raw: Sequence[str]) -> str:
    return f" (is a quote not closed? it goes on for {len(raw)} lines)" if len(raw) > 1 else ""


Make = Callable[[Cells], tuple[str, dict[str, object]]]


def _row(line: int, text: bytes, cells: Cells, make: Make) -> Good | Bad:
    try:
        name, body = make(cells)
        return _checked(Good(line, text, name, msgspec.json.encode(body)))
    except UnicodeEncodeError:
        return Bad(line, text, "is not UTF-8")
    except ValueError as wrong:
        return Bad(line, text, str(wrong))


def _maker(header: Cells, kind: Kind) -> Make:
    """What makes an object of a row's cells. Mistake where the header can't be used."""
    known = {name: _place(header, (name,)) for name in (*kind.texts, *kind.lists)}
    where = _place(header, kind.id)
    taken = {where, *known.values()}
    others = [(at, name) for at, name in enumerate(header) if at not in taken]
    _check_header(header, kind, [name for _, name in others])
    if where is None:
        raise Mistake(f"the header has no column {_or(kind.id)}; it has {', '.join(header)}")
    texts = [(at, name) for name in kind.texts if (at := known[name]) is not None]
    lists = [(at, name) for name in kind.lists if (at := known[name]) is not None]

    def make(cells: Cells) -> tuple[str, dict[str, object]]:
        if len(cells) != len(header):
            raise ValueError(f"has {len(cells)} cells, the header {len(header)}")
        body: dict[str, object] = {"id": cells[where]}
        body |= {name: cells[at] for at, name in texts if cells[at]}
        body |= {name: _words(cells[at]) for at, name in lists}
        if kind.fields:
            body["fields"] = {name: cells[at] for at, name in others if cells[at]}
        return cells[where], body

    return make


def _check_header(header: Cells, kind: Kind, others: Cells) -> None:
    if twice := next((name for at, name in enumerate(header) if name in header[:at]), None):
        raise Mistake(f"the header has the column {twice!r} twice")
    if "" in header:
        raise Mistake(f"column {header.index('') + 1} has no name in the header")
    if others and not kind.fields:
        names = (*kind.id, *kind.texts, *kind.lists)
        raise Mistake(f"{kind.name} have no {', '.join(others)}: the columns may be {', '.join(names)}")


def _place(header: Cells, names: tuple[str, ...]) -> int | None:
    """The column of that name, in whatever case; of several names one alone may be there."""
    found = [at for at, name in enumerate(header) if name.lower() in names]
    if len(found) > 1:
        raise Mistake(f"the header has {' and '.join(header[at] for at in found)}: which of them is meant?")
    return found[0] if found else None


def _words(cell: str) -> list[str]:
    return [word.strip() for word in re.split("[;|]", cell) if word.strip()]


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)
