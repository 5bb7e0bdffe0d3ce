"""However a body comes in pieces, its lines are the same, and little of it is held."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.console.lines import LIMIT, Lines

BODIES = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n\n", b"\r\n", b"{}"])).map(b"".join)


@given(BODIES, st.lists(st.integers(0, 50)))
def test_lines_do_not_depend_on_the_pieces(body: bytes, cuts: list[int]) -> None:
    lines, at, found = Lines(), 0, []
    for cut in sorted(cuts):
        found += lines.cut(body[at:cut])
        at = max(at, cut)
    found += lines.cut(body[at:]) + lines.end()
    *ended, rest = body.split(b"\n")
    assert found == [*ended, *([rest] if rest else [])]


def test_of_a_long_line_enough_is_kept_to_know_it_by() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.cut(b"x" * 50_000) == []
        assert len(lines._rest) <= LIMIT + 1
    (long, short) = lines.cut(b"x\nshort\n")
    assert (len(long) > LIMIT, short, lines.end()) == (True, b"short", [])


def test_a_line_at_the_limit_is_whole() -> None:
    lines = Lines()
    found = [*lines.cut(b"x" * (LIMIT - 1)), *lines.cut(b"y\n"), *lines.cut(b"x" * LIMIT), *lines.cut(b"y\n")]
    assert [len(line) - LIMIT for line in found] == [0, 1]
