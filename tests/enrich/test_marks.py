"""Whether a store on disk may be read on: its mark against what the topic is now."""

import msgspec
import pytest

from pipeline.enrich.marks import AHEAD_SECONDS, Log, Mark, decoded, encoded, unfit

NOW, DAY = 1_800_000_000.0, 86_400.0
MARK = Mark(topic="one", offset=100, seen=NOW - 3600, version="1.0")
LOG = Log("one", 0, 100)


@pytest.mark.parametrize(
    ("mark", "log", "why"),
    [
        ({}, LOG, None),
        ({}, Log("one", 100, 100), None),
        ({}, Log("one", 0, 5_000), None),
        ({"offset": 0}, Log("one", 0, 0), None),
        ({"seen": NOW + AHEAD_SECONDS}, LOG, None),
        ({"seen": NOW - 0.9 * DAY}, LOG, None),
        ({"seen": NOW - 5 * DAY}, Log("one", 0, 100, 7 * DAY), None),
        ({}, Log("another", 0, 100), "the topic was made anew"),
        ({}, Log("one", 0, 99), "the topic ends before it"),
        ({}, Log("one", 101, 200), "what followed it is no longer in the topic"),
        ({"version": "0.9"}, LOG, "another version of Loopwire wrote it"),
        ({"format": 0}, LOG, "another version of Loopwire wrote it"),
        ({"seen": NOW + AHEAD_SECONDS + 1}, LOG, "its time is ahead of this machine's clock"),
        ({"seen": NOW - 22 * 3600}, LOG, "it is 22.0 hours old, the topic keeps erasures for 24.0"),
        ({"seen": NOW - 60}, Log("one", 0, 100, 60), "it is 0.0 hours old, the topic keeps erasures for 0.0"),
    ],
)
def test_a_store_is_read_on_only_where_nothing_can_have_escaped_it(
    mark: dict[str, object], log: Log, why: str | None
) -> None:
    assert unfit(msgspec.structs.replace(MARK, **mark), log, "1.0", NOW) == why


def test_a_mark_is_read_as_it_was_written() -> None:
    assert decoded(encoded(MARK)) == MARK
    with pytest.raises(msgspec.MsgspecError):
        decoded(b"")
