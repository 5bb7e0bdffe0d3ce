"""The tables hold what each row adds to an event, as the compacted topics have it."""

import logging

import pytest

from pipeline.enrich.tables import Tables
from tests.examples import raw

KEY, MAILING = b"shop/jane", b"shop/spring-sale"
ADDED = b',"recipient":"jane@mail.example"'


@pytest.fixture
def tables() -> Tables:
    made = Tables()
    made.put_profile(3, KEY, raw("profile.v1", "only-an-address"))
    made.put_tags(0, MAILING, raw("mailing.v1", "spring-sale"))
    return made


def test_a_row_is_held_as_what_it_adds(tables: Tables) -> None:
    assert dict(tables.profiles(3)) == {KEY: ADDED}
    assert tables.tags == {MAILING: b',"tags":["sale","spring"]'}
    assert len(tables) == 2


def test_the_profiles_of_another_partition_are_not_seen(tables: Tables) -> None:
    assert dict(tables.profiles(4)) == {}


def test_the_last_row_counts(tables: Tables) -> None:
    tables.put_profile(3, KEY, b'{"id":"jane","account":"shop","email":"new@mail.example"}')
    tables.put_tags(1, MAILING, raw("mailing.v1", "without-tags"))
    assert dict(tables.profiles(3)) == {KEY: b',"recipient":"new@mail.example"'}
    assert tables.tags == {MAILING: b""}


def test_a_row_whose_fields_became_null_no_longer_adds_them(tables: Tables) -> None:
    tables.put_profile(3, KEY, raw("profile.v1", "with-nulls"))
    tables.put_tags(0, MAILING, raw("mailing.v1", "with-nulls"))
    assert (dict(tables.profiles(3)), tables.tags, tables.unreadable) == ({KEY: b""}, {MAILING: b""}, 0)


def test_a_null_erases_and_erases_what_never_was(tables: Tables) -> None:
    tables.put_profile(3, KEY, None)
    tables.put_profile(3, KEY, None)
    tables.put_tags(0, MAILING, None)
    assert (dict(tables.profiles(3)), tables.tags, len(tables)) == ({}, {}, 0)


def test_the_profiles_of_a_lost_partition_go_and_the_mailings_stay(tables: Tables) -> None:
    tables.put_profile(4, b"shop/joe", b'{"id":"joe","account":"shop","email":"joe@mail.example"}')
    tables.drop([3, 5])
    assert (dict(tables.profiles(3)), len(tables.profiles(4)), len(tables.tags)) == ({}, 1, 1)


@pytest.mark.parametrize(
    "value", [b"", b"not JSON", b"[" * 100_000, b'{"id":"joe","account":"shop","email":"joe@mail.example"}']
)
def test_a_row_that_can_t_be_read_changes_nothing_and_is_told(
    tables: Tables, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tables.put_profile(3, KEY, value)
    assert dict(tables.profiles(3)) == {KEY: ADDED}
    assert tables.unreadable == 1
    assert [record.getMessage().startswith("a table row can't be read and is passed over: shop/jane: ") for record in
            caplog.records] == [True]  # fmt: skip
