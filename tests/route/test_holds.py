"""What a loop misses while it is held is a stretch of offsets, written when it begins, ends and is sent."""

import json

from pipeline.model.loops import Hold, Stretch
from pipeline.record import Record
from pipeline.route.holds import Due, Holds, IsActive


def rows(*records: Record | None) -> list[tuple[bytes, object]]:
    """Key and stretches of each record; None for a tombstone."""
    return [
        (record.key, json.loads(record.value)["stretches"] if record.value else None) for record in records if record
    ]


def always(_loop: str) -> bool:
    return True


def never(_loop: str) -> bool:
    return False


def _due(holds: Holds, is_active: IsActive = always, fails: IsActive = never) -> list[Due]:
    return holds.due(is_active, fails, lambda partition: 1000 + partition)


def test_a_stretch_begins_at_the_first_event_missed_and_is_written_once() -> None:
    holds = Holds()
    assert rows(holds.miss("one", 3, 41), holds.miss("one", 3, 42)) == [(b"one/3", [{"start": 41}])]
    assert rows(holds.miss("two", 3, 42), holds.miss("one", 4, 7)) == [
        (b"two/3", [{"start": 42}]),
        (b"one/4", [{"start": 7}]),
    ]
    assert (holds.any_over(always), holds.any_over(never)) == (True, False)


def test_it_is_over_where_the_loop_is_active_again_and_then_it_is_due() -> None:
    holds = Holds()
    holds.miss("one", 3, 41)
    assert holds.over(3, 50, never) == []
    assert holds.over(4, 50, always) == []
    assert rows(*holds.over(3, 50, always)) == [(b"one/3", [{"start": 41, "end": 50}])]
    assert holds.over(3, 60, always) == []
    assert _due(holds) == [Due("one", 3, 41, 50)]
    assert _due(holds, never) == []
    assert not holds.any_over(always)


def test_how_far_it_was_sent_is_written_and_at_its_end_a_tombstone() -> None:
    holds = Holds()
    holds.miss("one", 3, 41)
    holds.over(3, 50, always)
    assert rows(holds.passed("one", 3, 45)) == [(b"one/3", [{"start": 45, "end": 50}])]
    assert rows(holds.passed("one", 3, 50)) == [(b"one/3", None)]
    assert _due(holds) == []
    assert holds.passed("one", 3, 50) is None


def test_a_loop_held_again_before_all_was_sent_has_two_stretches_and_what_came_between_is_in_none() -> None:
    holds = Holds()
    holds.miss("one", 3, 41)
    holds.over(3, 50, always)
    assert rows(holds.miss("one", 3, 60)) == [(b"one/3", [{"start": 41, "end": 50}, {"start": 60}])]
    assert rows(holds.passed("one", 3, 50)) == [(b"one/3", [{"start": 60}])]
    assert _due(holds) == []
    assert rows(*holds.over(3, 70, always)) == [(b"one/3", [{"start": 60, "end": 70}])]


def test_a_partition_that_comes_has_what_its_last_owner_wrote_and_one_that_goes_leaves_nothing() -> None:
    holds = Holds()
    holds.own(3, [Hold(loop="one", partition=3, stretches=[Stretch(start=41, end=50)])])
    holds.own(4, [Hold(loop="one", partition=4, stretches=[Stretch(start=1, end=2)])])
    assert _due(holds) == [Due("one", 3, 41, 50), Due("one", 4, 1, 2)]
    holds.disown(3)
    assert _due(holds) == [Due("one", 4, 1, 2)]
    assert holds.passed("one", 3, 45) is None


def test_of_a_loop_that_fails_an_open_stretch_is_due_up_to_where_routing_is() -> None:
    holds = Holds()
    holds.miss("one", 3, 41)
    assert _due(holds, fails=always) == [Due("one", 3, 41, 1003)]
    assert _due(holds, never, always) == []
    assert rows(holds.passed("one", 3, 45)) == [(b"one/3", [{"start": 45}])]
    holds.over(3, 1100, always)
    assert _due(holds) == [Due("one", 3, 45, 1100)]


def test_what_is_read_again_before_a_stretch_is_missed_too() -> None:
    """Its delivery may have been under way when the row of the stretch was safe, and the router was killed."""
    holds = Holds()
    holds.own(3, [Hold(loop="one", partition=3, stretches=[Stretch(start=41)])])
    assert rows(*(holds.miss("one", 3, offset) for offset in range(38, 45))) == [(b"one/3", [{"start": 38}])]


def test_a_loop_that_fails_is_probed_in_one_partition_at_a_time_and_nowhere_once_all_was_sent() -> None:
    holds = Holds()
    for partition in (3, 4):
        holds.miss("one", partition, 41)
    assert _due(holds, fails=always) == [Due("one", 3, 41, 1003)]
    holds.passed("one", 3, 1003)
    assert _due(holds, fails=always) == [Due("one", 4, 41, 1004)]
    holds.passed("one", 4, 1004)
    assert _due(holds, fails=always) == []
    assert holds.any_over(always)
    assert [len(holds.over(partition, 2000, always)) for partition in (3, 4)] == [1, 1]
    assert _due(holds) == [Due("one", 3, 1003, 2000), Due("one", 4, 1004, 2000)]
