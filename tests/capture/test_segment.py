"""Whatever a segment's writer left behind, its whole records are read, and nothing else is."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture import segment
from pipeline.capture.segment import Kept, found, framed, head, seed_of

SEED = b"seed"
HITS = [Kept(b"acme/p-1", b'{"type":"open"}'), Kept(b"acme/p-2", b""), Kept(b"", b'{"type":"click"}')]
KEPT = st.lists(st.builds(Kept, st.binary(max_size=40), st.binary(max_size=200)), max_size=8)


def written(records: list[Kept], seed: bytes = SEED) -> bytes:
    return head(seed) + b"".join(framed(seed, one) for one in records)


def read(data: bytes, seed: bytes = SEED) -> list[Kept]:
    records, at = [], segment.HEAD
    while one := found(data, seed, at):
        assert one.start >= at
        assert one.end > one.start
        records.append(one.kept)
        at = one.end
    return records


@given(KEPT)
def test_what_was_written_is_read(records: list[Kept]) -> None:
    assert read(written(records)) == records


@given(KEPT, st.data())
def test_a_torn_tail_takes_only_the_record_it_tears(records: list[Kept], data: st.DataObject) -> None:
    whole = written(records)
    cut = data.draw(st.integers(segment.HEAD, len(whole)))
    ends = [len(written(records[:count])) for count in range(len(records) + 1)]
    assert read(whole[:cut]) == records[: max(count for count, end in enumerate(ends) if end <= cut)]


@given(KEPT, st.integers(0, 200))
def test_a_tail_of_zeros_is_no_record(records: list[Kept], zeros: int) -> None:
    assert read(written(records) + bytes(zeros)) == records


@given(KEPT.filter(len), st.data())
def test_one_wrong_byte_costs_at_most_its_own_record(records: list[Kept], data: st.DataObject) -> None:
    whole = bytearray(written(records))
    at = data.draw(st.integers(segment.HEAD, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    hurt = max(count for count in range(len(records)) if len(written(records[:count])) <= at)
    assert read(bytes(whole)) == records[:hurt] + records[hurt + 1 :]


def test_a_record_inside_a_hit_is_not_read_without_the_seed() -> None:
    forged = framed(b"gues", Kept(b"foreign/p-1", b"{}"))
    data = bytearray(written([Kept(b"acme/p-1", b"x" + forged)]))
    data[segment.HEAD] ^= 1  # the record around it is damaged
    assert read(bytes(data)) == []


def test_the_format_stays_as_it_is() -> None:
    payload = b"\x01\x00kv"
    check = zlib.crc32(b"\x04\x00\x00\x00" + payload, int.from_bytes(SEED, "little"))
    expected = b"LWSPOOL1seedLWH1\x04\x00\x00\x00" + check.to_bytes(4, "little") + payload
    assert written([Kept(b"k", b"v")]) == expected


@pytest.mark.parametrize(
    ("data", "seed"), [(b"", None), (b"LWSPOOL1see", None), (b"LWSPOOL2seed", None), (b"LWSPOOL1seed", b"seed")]
)
def test_what_is_no_segment_has_no_seed(data: bytes, seed: bytes | None) -> None:
    assert seed_of(data) == seed


def test_what_is_too_large_is_no_hit() -> None:
    with pytest.raises(ValueError, match="1000010 bytes are no hit"):
        framed(SEED, Kept(b"k", b"v" * 1_000_007))
