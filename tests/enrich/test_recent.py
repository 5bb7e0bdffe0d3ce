"""Rows lately asked for stay at hand in a bounded number of bytes, and are never older than what was told."""

from pipeline.enrich.recent import ROW_BYTES, Recent

ROOM = 10 * (ROW_BYTES + 3)  # ten rows of a key of one byte and a tail of two


def test_what_was_asked_for_is_at_hand_until_two_generations_came_after_it() -> None:
    recent = Recent()
    recent.add(b"a", b"11")
    for number in range(10):
        recent.make_room(ROOM)
        recent.add(b"%c" % (98 + number), b"22")
    assert b"a" in recent.rows
    recent.make_room(ROOM)
    assert (b"a" in recent.rows, recent.older(b"a"), recent.older(b"z")) == (False, b"11", None)
    for number in range(11):
        recent.add(b"%c" % (33 + number), b"22")
    recent.make_room(ROOM)
    assert recent.older(b"a") is None


def test_a_row_that_changes_changes_wherever_it_is_read() -> None:
    recent = Recent()
    recent.add(b"a", b"11")
    recent.add(b"b", b"11")
    held = recent.rows
    recent.change(b"a", b"2222")
    recent.change(b"c", b"33")
    assert held == {b"a": b"2222", b"b": b"11"}, "a row that nobody asked for is not at hand"
    recent.make_room(0)
    recent.change(b"a", None)
    recent.change(b"b", b"4")
    assert held == {b"b": b"4"}
    assert (recent.rows, recent.older(b"a"), recent.older(b"b")) == ({}, None, b"4")


def test_room_that_rows_leave_is_free() -> None:
    recent = Recent()
    for _ in range(100):
        recent.add(b"a", b"11")
        recent.change(b"a", b"111111")
        recent.change(b"a", None)
    recent.add(b"b", b"11")
    recent.make_room(ROW_BYTES + 3)
    assert b"b" in recent.rows
