"""What all lanes share: where it is scarce they take turns, and the slow can't take all of it."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.room import Room


def test_slots_are_given_as_they_come_and_bytes_too() -> None:
    room = Room(slots=4, limit=100)
    assert [room.take("a", quick=True) for _ in range(5)] == [True, True, True, True, False]
    assert [room.admit(60, quick=True), room.admit(60, quick=True)] == [True, False]
    room.release(60)
    assert room.admit(60, quick=True)


def test_servers_that_are_slow_or_unknown_can_t_take_the_bytes_of_the_quick() -> None:
    room = Room(limit=100)
    assert [room.admit(25, quick=False) for _ in range(4)] == [True, True, True, False]
    assert [room.admit(25, quick=True) for _ in range(2)] == [True, False]


def test_servers_that_are_slow_or_unknown_can_t_take_the_slots_of_the_quick() -> None:
    room = Room(slots=8)
    assert [room.take(f"slow {number}", quick=False) for number in range(8)] == [True] * 6 + [False] * 2
    assert [room.take("quick", quick=True) for _ in range(3)] == [True, True, False]
    room.give(quick=True)
    assert room.turn() == ("quick", True)
    room.give(quick=False)
    assert room.turn() == ("slow 6", False)
    assert room.in_flight == 8


def test_who_waits_has_its_turn_one_after_another_however_often_it_asks() -> None:
    room = Room(slots=4)
    for _ in range(4):
        room.take("greedy", quick=True)
    for loop in ("greedy", "a", "greedy", "b", "greedy"):
        assert not room.take(loop, quick=True)
    served = []
    for _ in range(6):
        room.give(quick=True)
        turn = room.turn()
        assert turn is not None
        served.append(turn[0])
        room.line_up(turn[0], quick=True)
    assert served == ["greedy", "a", "b", "greedy", "a", "b"]


def test_the_quick_do_not_go_before_others_that_wait_for_a_slot_that_is_free() -> None:
    room = Room(slots=4)
    for _ in range(4):
        room.take("quick", quick=True)
    assert not room.take("new", quick=False)
    for _ in range(2):
        room.give(quick=True)
    assert not room.take("quick", quick=True)
    assert {room.turn(), room.turn()} == {("new", False), ("quick", True)}


def test_nobody_waits_nobody_has_a_turn() -> None:
    assert Room().turn() is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=100))
def test_it_is_never_overdrawn_and_all_that_is_given_back_is_there_again(steps: list[tuple[str, bool, bool]]) -> None:
    room, taken = Room(slots=4), list[bool]()
    for loop, quick, gives in steps:
        if gives and taken:
            room.give(taken.pop())
        elif room.take(loop, quick):
            taken.append(quick)
        assert room.in_flight == len(taken) <= 4
        assert taken.count(False) <= 3
    for quick in taken:
        room.give(quick)
    while turn := room.turn():
        room.give(turn[1])
    assert [room.take("x", quick=True) for _ in range(4)] == [True] * 4
