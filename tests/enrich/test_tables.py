"""The tables hold what each row adds to an event, as the compacted topics have it; in memory and on disk."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import topics
from pipeline.enrich.disk import Disk
from pipeline.enrich.tables import InMemory, Tables
from pipeline.kafka.memory import Memory
from tests.examples import raw

KEY, MAILING = b"shop/jane", b"shop/spring-sale"
ADDED = b',"recipient":"jane@mail.example"'
NEW = b'{"id":"jane","account":"shop","email":"new@mail.example"}'
Make = Callable[[], Tables]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes tables of one store; those that were made before are closed."""
    kafka = Memory({topics.PROFILES: 5})
    made: list[Tables] = []

    def tables() -> Tables:
        for one in made:
            one.close()
        made.append(Tables(InMemory() if request.param == "memory" else Disk(tmp_path, kafka)))
        return made[-1]

    yield tables
    for one in made:
        one.close()


@pytest.fixture
def tables(make: Make) -> Tables:
    made = make()
    for partition in (3, 4):
        made.own(partition, lambda: 1_000_000)
    made.put_profile(3, 0, KEY, raw("profile.v1", "only-an-address"))
    made.put_tags(0, MAILING, raw("mailing.v1", "spring-sale"))
    return made


def profiles(tables: Tables, partition: int, *keys: bytes) -> dict[bytes, bytes]:
    """What is known of Jane, or of those named."""
    rows = tables.profiles(partition, keys or (KEY,))
    return {key: rows[key] for key in keys or (KEY,) if key in rows}


def keep(tables: Tables) -> None:
    tables.keep(0.0)


def nothing(_tables: Tables) -> None:
    pass


@pytest.fixture(params=[nothing, keep])
def then(request: pytest.FixtureRequest) -> Callable[[Tables], None]:
    """What is true before rows are written is true after."""
    done: Callable[[Tables], None] = request.param
    return done


def test_a_row_is_held_as_what_it_adds(tables: Tables, then: Callable[[Tables], None]) -> None:
    then(tables)
    assert profiles(tables, 3) == {KEY: ADDED}
    assert tables.profile(3, KEY) == ADDED
    assert tables.tags == {MAILING: b',"tags":["sale","spring"]'}


def test_rows_are_counted(tables: Tables) -> None:
    tables.put_profile(4, 0, b"shop/joe", b'{"email":"joe@mail.example"}')
    keep(tables)
    assert len(tables) == 3


def test_the_profiles_of_another_partition_are_not_seen(tables: Tables) -> None:
    assert profiles(tables, 4) == {}
    assert tables.profile(4, KEY) is None


def test_the_last_row_counts(tables: Tables, then: Callable[[Tables], None]) -> None:
    then(tables)
    assert profiles(tables, 3) == {KEY: ADDED}
    tables.put_profile(3, 1, KEY, NEW)
    tables.put_tags(1, MAILING, raw("mailing.v1", "without-tags"))
    then(tables)
    assert profiles(tables, 3) == {KEY: b',"recipient":"new@mail.example"'}
    assert tables.tags == {MAILING: b""}


def test_what_was_handed_out_for_a_batch_goes_on_to_know_its_rows(tables: Tables) -> None:
    rows = tables.profiles(3, [KEY])
    tables.put_profile(3, 1, KEY, NEW)
    keep(tables)
    for number in range(100):
        tables.put_profile(3, 2 + number, b"shop/%d" % number, b"{}")
        tables.profiles(3, [b"shop/%d" % number])
    assert rows[KEY] == b',"recipient":"new@mail.example"'


def test_a_row_whose_fields_became_null_no_longer_adds_them(tables: Tables) -> None:
    tables.put_profile(3, 1, KEY, raw("profile.v1", "with-nulls"))
    tables.put_tags(0, MAILING, raw("mailing.v1", "with-nulls"))
    assert (profiles(tables, 3), tables.tags, tables.unreadable) == ({KEY: b""}, {MAILING: b""}, 0)


def test_a_null_erases_and_erases_what_never_was(tables: Tables, then: Callable[[Tables], None]) -> None:
    then(tables)
    assert profiles(tables, 3) == {KEY: ADDED}
    tables.put_profile(3, 1, KEY, None)
    then(tables)
    tables.put_profile(3, 2, KEY, None)
    tables.put_tags(0, MAILING, None)
    then(tables)
    assert (profiles(tables, 3), tables.profile(3, KEY), tables.tags) == ({}, None, {})


def test_a_key_may_be_any_bytes(tables: Tables, then: Callable[[Tables], None]) -> None:
    for offset, key in enumerate((b"", b"m", b"r", b"\x00", b"\xff"), 1):
        tables.put_profile(3, offset, key, b'{"email":"%d@mail.example"}' % offset)
    then(tables)
    assert profiles(tables, 3, b"", b"m", b"r", b"\x00", b"\xff") == {
        key: b',"recipient":"%d@mail.example"' % offset
        for offset, key in enumerate((b"", b"m", b"r", b"\x00", b"\xff"), 1)
    }


def test_the_profiles_of_a_lost_partition_go_and_the_mailings_stay(tables: Tables) -> None:
    tables.put_profile(4, 0, b"shop/joe", b'{"id":"joe","account":"shop","email":"joe@mail.example"}')
    tables.drop([3, 5])
    with pytest.raises(KeyError):
        profiles(tables, 3)
    assert profiles(tables, 4, b"shop/joe") == {b"shop/joe": b',"recipient":"joe@mail.example"'}
    assert len(tables.tags) == 1


def test_a_partition_that_comes_back_has_what_its_topic_says_once_it_is_read_on(tables: Tables) -> None:
    log = [(KEY, raw("profile.v1", "only-an-address")), (b"shop/joe", b"{}"), (b"shop/joe", None), (KEY, NEW)]
    for offset, (key, value) in enumerate(log[1:3], 1):
        tables.put_profile(3, offset, key, value)
    tables.drop([3])
    start = tables.own(3, lambda: 1_000_000)
    assert 0 <= start <= 3
    for offset, (key, value) in enumerate(log[start:], start):
        tables.put_profile(3, offset, key, value)
    assert profiles(tables, 3, KEY, b"shop/joe") == {KEY: b',"recipient":"new@mail.example"'}


@pytest.mark.parametrize(
    "value", [b"", b"not JSON", b"[" * 100_000, b'{"id":"joe","account":"shop","email":"joe@mail.example"}']
)
def test_a_row_that_can_t_be_read_changes_nothing_and_is_told(
    tables: Tables, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tables.put_profile(3, 1, KEY, value)
    assert profiles(tables, 3) == {KEY: ADDED}
    assert tables.unreadable == 1
    assert [record.getMessage().startswith("a table row can't be read and is passed over: shop/jane: ") for record in
            caplog.records] == [True]  # fmt: skip
