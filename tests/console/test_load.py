"""Each line of a load is taken or rejected by itself, with its reason."""

import re
from itertools import chain

import msgspec
import pytest

from pipeline.console import load
from pipeline.console.forms import ProfileLine
from pipeline.console.load import Load
from pipeline.console.shown import RejectedShown
from pipeline.record import Record

GOOD = b'{"id":"p1","email":"jan@example.com"}'


def _made(line: bytes) -> Record:
    return Record("profiles", load.read(line).id.encode(), None)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "is not JSON: Input data was truncated"),
        (b'{"id":NaN}', "is not JSON: JSON is malformed: invalid character (byte 6)"),
        (b'"\xff"', "is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 60_000, "is not JSON: maximum recursion depth exceeded while deserializing an object"),
        (b"[]", "must be a JSON object"),
        (b"{}", "email: is missing (and 1 more)"),
        (b'{"email":"a@b"}', "id: is missing"),
        (b'{"id":"a b","email":"a@b"}', "id: must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'"),
        (b'{"id":1,"email":"a@b"}', "id: must be a valid string"),
        (b'{"id":"p","email":"ab"}', "email: must be an e-mail address with one @"),
        (b'{"id":"p","email":"a@b","name":"x"}', "name: is no name that is known here"),
        (b'{"id":"p","email":"a@b","interests":["a",1]}', "interests.1: must be a valid string"),
        (b'{"id":"p"}' + b" " * 65_536, "is longer than 65536 bytes"),
    ],
)
def test_a_line_that_is_wrong_is_told_what(line: bytes, error: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        load.read(line)


def test_a_line_is_a_profile_with_its_id() -> None:
    line = {"id": "p1", "email": "jan@example.com", "fields": {"city": "Utrecht"}, "interests": ["bikes"]}
    assert load.read(msgspec.json.encode(line) + b"\r") == ProfileLine.model_validate(line)


def test_lines_are_counted_from_one_and_empty_ones_are_nothing() -> None:
    one = Load(_made)
    assert list(one.take([GOOD, b"", b"{", b" \r", GOOD])) == []
    assert [record.key for record in one.rest()] == [b"p1", b"p1"]
    assert one.rest() == []
    shown = one.shown()
    assert (shown.accepted, shown.unlisted) == (2, 0)
    assert shown.rejected == [RejectedShown(line=3, error="is not JSON: Input data was truncated")]


def test_a_batch_is_what_came_of_a_thousand_lines() -> None:
    one = Load(_made)
    lines = chain([GOOD] * 1500, [b"{"] * 1500, [GOOD] * 10)
    assert [len(batch) for batch in one.take(lines)] == [1000, 500, 0]
    assert len(one.rest()) == 10


def test_a_batch_is_a_megabyte_at_most() -> None:
    one = Load(_made)
    line = GOOD + b" " * 60_000
    assert [len(batch) for batch in one.take([line] * 40)] == [18, 18]


def test_ten_thousand_rejected_lines_are_listed_and_the_others_counted() -> None:
    one = Load(_made)
    assert list(chain.from_iterable(one.take([b"{"] * 10_002))) == []
    shown = one.shown()
    assert (len(shown.rejected), shown.rejected[-1].line, shown.unlisted) == (10_000, 10_000, 2)
