"""Files as people have them, row by row: what is sent, what is rejected and why."""

import io
import json
from typing import Any

import pytest

from pipeline.cli.mistakes import Mistake
from pipeline.cli.rows import LINE_LIMIT, MAILINGS, PROFILES, Bad, Format, Good, Kind, Lines, read

WRONG_ID = "id: has 1 to 128 characters of A-Z a-z 0-9 . _ : @ + -"


def rows(text: str | bytes, kind: Kind, form: Format) -> list[Good | Bad]:
    return list(read(Lines(io.BytesIO(text.encode() if isinstance(text, str) else text)), kind, form))


def told(text: str | bytes, kind: Kind = PROFILES, form: Format = "csv") -> list[tuple[int, Any]]:
    """Line and JSON of what is good, line and reason of what is not."""
    return [
        (row.line, json.loads(row.body) if isinstance(row, Good) else row.why) for row in rows(text, kind, form)
    ]  # fmt: skip


def profile(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "fields": {}} | more


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "id,email,interests,city,age\nj,j@x.nl,tulips;garden | bees,Utrecht,41\nk,k@x.nl,,,\n",
            [
                (2, {"id": "j", "email": "j@x.nl", "interests": ["tulips", "garden", "bees"],
                     "fields": {"city": "Utrecht", "age": "41"}}),
                (3, {"id": "k", "email": "k@x.nl", "interests": [], "fields": {}}),
            ],
        ),
        ("\ufeffProfile,E-Mail\r\nj,j@x.nl\r\n", [(2, profile("j", fields={"E-Mail": "j@x.nl"}))]),
        ("profile;EMAIL;City\nj;j@x.nl;a,b", [(2, profile("j", email="j@x.nl", fields={"City": "a,b"}))]),
        ("id\temail\nj\tj@x.nl\n", [(2, profile("j", email="j@x.nl"))]),
        ('id, email, note\nj, j@x.nl, "two\nlines, ""quoted"""\n\nk, k@x.nl, x\n',
         [(2, profile("j", email="j@x.nl", fields={"note": 'two\nlines, "quoted"'})),
          (5, profile("k", email="k@x.nl", fields={"note": "x"}))]),
        ("id,email\nj\nk,k@x,1\n,e@x\na/b,e@x\n",
         [(2, "has 1 cells, the header 2"), (3, "has 3 cells, the header 2"), (4, WRONG_ID), (5, WRONG_ID)]),
        (b"id,email\nj,\xff@x.nl\nk,k@x.nl\n", [(2, "is not UTF-8"), (3, profile("k", email="k@x.nl"))]),
        ('id,email\nj,"a"b\nk,k@x\n', [(2, "is not CSV: ',' expected after '\"'"), (3, profile("k", email="k@x"))]),
        ('id,email\nj,"a\nk,k@x\n',
         [(2, "is not CSV: unexpected end of data (is a quote not closed? it goes on for 2 lines)")]),
        ("id,email\n", []),
    ],
)  # fmt: skip
def test_a_csv_of_profiles(text: str | bytes, found: list[tuple[int, Any]]) -> None:
    assert told(text) == found


def test_an_open_quote_costs_no_more_than_a_field_may_hold() -> None:
    found = told('id,email\nj,"a\n' + "k,k@x.nl\n" * 20_000)
    assert found[0][0] == 2
    assert found[0][1].startswith("is not CSV: field larger than field limit (131072) (is a quote not closed? it goes")
    assert found[-1] == (20_002, profile("k", email="k@x.nl"))


def test_a_csv_of_mailings() -> None:
    found = told("mailing,name,tags\nm1,Spring sale,sale;spring\nm2,,\n", MAILINGS)
    assert found == [
        (2, {"id": "m1", "name": "Spring sale", "tags": ["sale", "spring"]}),
        (3, {"id": "m2", "tags": []}),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "mistake"),
    [
        ("", PROFILES, "line 1 must be the header, the names of the columns: it is empty"),
        (
            "\0" * 200_000,
            PROFILES,
            "line 1 must be the header, the names of the columns: field larger than field limit (131072)",
        ),
        ("email,city\n", PROFILES, "the header has no column id or profile; it has email, city"),
        ("id,Profile\n", PROFILES, "the header has id and Profile: which of them is meant?"),
        ("id,city,city\n", PROFILES, "the header has the column 'city' twice"),
        ("id,,city\n", PROFILES, "column 2 has no name in the header"),
        ("id,name,subject\n", MAILINGS, "mailings have no subject: the columns may be id, mailing, name, tags"),
    ],
)
def test_a_header_that_can_t_be_used(text: str, kind: Kind, mistake: str) -> None:
    with pytest.raises(Mistake) as wrong:
        rows(text, kind, "csv")
    assert str(wrong.value) == mistake


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"id": "j", "email": "j@x", "fields": {"a": [1]}}', {"id": "j", "email": "j@x", "fields": {"a": [1]}}),
        ('{"profile": "j", "email": "j@x"}', {"id": "j", "email": "j@x"}),
        ('{"id": null, "profile": "j"}', {"id": "j"}),
        ('{"email": "j@x"}', "id or profile is missing"),
        ('{"id": "a b"}', WRONG_ID),
        ('{"id": 5}', "Expected `str | null`, got `int` - at `$.id`"),
        ('"j"', "Expected `object`, got `str`"),
        ('{"id": "j"', "is not JSON: Input data was truncated"),
    ],
)
def test_a_line_of_ndjson(line: str, found: Any) -> None:
    assert told(f"\n{line}\r\n", PROFILES, "ndjson") == [(2, found)]


def test_a_line_with_a_byte_that_is_no_utf_8_is_rejected() -> None:
    assert told(b'{"id": "j", "email": "\xff"}\n{"id": "k"}\n', PROFILES, "ndjson") == [
        (1, "is not UTF-8"), (2, {"id": "k"}),
    ]  # fmt: skip


def test_an_array_is_told_how_to_become_ndjson() -> None:
    with pytest.raises(Mistake, match="one JSON array; NDJSON is an object a line"):
        rows('[{"id": "j"}]', PROFILES, "ndjson")


def test_a_line_too_long_is_passed_over_with_its_beginning_told() -> None:
    lines = Lines(io.BytesIO(b'{"id": "' + b"x" * (3 * LINE_LIMIT) + b'"}\n{"id": "j"}\n'))
    long, short = read(lines, PROFILES, "ndjson")
    assert isinstance(long, Bad)
    assert (long.line, len(long.text), long.why) == (1, 200, f"is longer than {LINE_LIMIT} bytes")
    assert (short.line, lines.taken) == (2, 3 * LINE_LIMIT + 11 + 12)
