"""A segment is one file of the spool: hits as bytes, each known to be whole, however the file's writer ended.

    segment = "LWSPOOL1" seed record*
    record  = "LWH1" length check payload
    payload = length of key (2 bytes) key value

Numbers are little-endian, of 4 bytes but for the key's length. `check` is the CRC-32 (that of zlib and gzip)
of length and payload, begun at the segment's seed: four random bytes, so that nobody who writes into a hit's
user agent can write what a reader takes for a record. What is not a record is passed over, up to the next one.
"""

import struct
import zlib
from typing import NamedTuple

MAGIC = b"LWSPOOL1"
SEED_BYTES = 4
HEAD = len(MAGIC) + SEED_BYTES
LARGEST = 1_000_000  # bytes of a payload: more than Kafka takes

_MARK = b"LWH1"
_FRAME = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_KEY = struct.Struct("<H")


class Kept(NamedTuple):
    """One hit as Kafka gets it."""

    key: bytes
    value: bytes


class Found(NamedTuple):
    """A record of a segment: it begins at `start`; the next one is looked for at `end`."""

    start: int
    end: int
    kept: Kept


def head(seed: bytes) -> bytes:
    """How a segment begins."""
    return MAGIC + seed


def seed_of(data: bytes) -> bytes | None:
    """The seed of the segment that begins with `data`; None where that is no segment."""
    return data[len(MAGIC) : HEAD] if data.startswith(MAGIC) and len(data) >= HEAD else None


def framed(seed: bytes, kept: Kept) -> bytes:
    """The record, for a segment of that seed; ValueError where it is larger than any hit may be."""
    payload = _KEY.pack(len(kept.key)) + kept.key + kept.value
    if len(payload) > LARGEST:
        raise ValueError(f"{len(payload)} bytes are no hit")
    return _FRAME.pack(_MARK, len(payload), _check(seed, payload)) + payload


def found(data: bytes, seed: bytes, at: int) -> Found | None:
    """The first whole record at `at` or after it; None where there is none."""
    while (start := data.find(_MARK, at)) >= 0:
        kept = _whole(data, seed, start)
        if kept is not None:
            return kept
        at = start + 1
    return None


def _whole(data: bytes, seed: bytes, start: int) -> Found | None:
    begin = start + _FRAME.size
    if begin > len(data):
        return None
    _, length, check = _FRAME.unpack_from(data, start)
    end = begin + length
    if not _KEY.size <= length <= LARGEST or end > len(data):
        return None
    payload = data[begin:end]
    if _check(seed, payload) != check:
        return None
    value = _KEY.size + _KEY.unpack_from(payload)[0]
    return Found(start, end, Kept(payload[_KEY.size : value], payload[value:])) if value <= length else None


def _check(seed: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload)), _LENGTH.unpack(seed)[0]))
