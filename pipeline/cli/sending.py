"""Rows go out in chunks, a few at once, and what was rejected comes back line by line.

Of two rows with one id the later one has to win, so a chunk waits while another that shares an id is under way.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from pipeline.cli.api import JSON, NDJSON, Api, path
from pipeline.cli.mistakes import Mistake, Refused
from pipeline.cli.rows import Bad, Good, Lines

CHUNK_BYTES = 1024 * 1024
OF_THE_ROW = frozenset({400, 413, 422})  # a refusal of what was sent; any other ends the load


class Chunk(NamedTuple):
    """Rows for one call, what was rejected between them, and how far the file was read after them."""

    good: list[Good]
    bad: list[Bad]
    ids: set[str]
    end: int


class Sent(NamedTuple):
    """What became of a chunk; `bad` is in the order of the lines. `last` is its last line."""

    accepted: int
    bad: list[Bad]
    end: int
    last: int


Send = Callable[[list[Good]], list[Bad]]


def chunked(rows: Iterable[Good | Bad], lines: Lines, most: int) -> Iterator[Chunk]:
    """Chunks of up to `most` rows and about CHUNK_BYTES, which is well below what the API takes."""
    chunk, size = Chunk([], [], set(), 0), 0
    for row in rows:
        if isinstance(row, Bad):
            size += len(row.text)
            chunk.bad.append(row)
        else:
            size += len(row.body)
            chunk.good.append(row)
            chunk.ids.add(row.id)
        if len(chunk.good) + len(chunk.bad) >= most or size >= CHUNK_BYTES:
            yield chunk._replace(end=lines.taken)
            chunk, size = Chunk([], [], set(), 0), 0
    yield chunk._replace(end=lines.taken)


def sent(chunks: Iterable[Chunk], send: Send, at_once: int) -> Iterator[Sent]:
    """Sends up to `at_once` chunks at a time; tells what became of them, in their order."""
    pool = ThreadPoolExecutor(at_once, "load")
    under_way: deque[tuple[Chunk, Future[list[Bad]]]] = deque()
    try:
        for chunk in chunks:
            while len(under_way) >= at_once or any(not chunk.ids.isdisjoint(one.ids) for one, _ in under_way):
                yield _done(*under_way.popleft())
            under_way.append((chunk, pool.submit(send, chunk.good)))
        while under_way:
            yield _done(*under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _done(chunk: Chunk, answer: "Future[list[Bad]]") -> Sent:
    refused = answer.result()
    rows = sorted([*chunk.bad, *refused])
    last = max(chunk.good[-1].line if chunk.good else 0, rows[-1].line if rows else 0)
    return Sent(len(chunk.good) - len(refused), rows, chunk.end, last)


def profiles(api: Api) -> Send:
    """Sends profiles, all of a chunk in one call."""

    def send(rows: list[Good]) -> list[Bad]:
        if not rows:
            return []
        answer = api.send("POST", path("profiles"), b"\n".join(row.body for row in rows) + b"\n", NDJSON)
        return [_rejected(rows, one) for one in _bulk(answer).rejected]

    return send


def mailings(api: Api) -> Send:
    """Sends mailings, a call each."""

    def send(rows: list[Good]) -> list[Bad]:
        return [bad for bad in (_put(api, row) for row in rows) if bad is not None]

    return send


class _Rejected(msgspec.Struct):
    line: int
    error: str


class _Bulk(msgspec.Struct):
    accepted: int
    rejected: list[_Rejected]


def _bulk(answer: object) -> _Bulk:
    try:
        return msgspec.convert(answer, _Bulk)
    except msgspec.ValidationError as wrong:
        raise Mistake(f"the API answered what this version does not know: {wrong}") from wrong


def _rejected(rows: list[Good], one: _Rejected) -> Bad:
    if not 1 <= one.line <= len(rows):
        raise Mistake(f"the API rejected line {one.line} of {len(rows)}: {one.error}")
    row = rows[one.line - 1]
    return Bad(row.line, row.text, one.error)


def _put(api: Api, row: Good) -> Bad | None:
    if row.id in {".", ".."}:  # good ids, but in an address they mean a folder, to whatever client or proxy
        return Bad(row.line, row.text, f"id: {row.id} can't stand in an address")
    body = msgspec.json.decode(row.body, type=dict[str, msgspec.Raw])
    del body["id"]
    try:
        api.send("PUT", path("mailings", row.id), msgspec.json.encode(body), JSON)
    except Refused as wrong:
        if wrong.status not in OF_THE_ROW:
            raise
        return Bad(row.line, row.text, str(wrong.document.get("detail") or wrong))
    return None
