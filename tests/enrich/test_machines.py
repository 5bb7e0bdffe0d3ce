"""The rows of machines.yaml: each recognises its examples and leaves its lookalikes alone."""

import re

import msgspec
import pytest

from pipeline.enrich.machines import Machines, Row, rows

ROWS = rows()
MACHINES = Machines(ROWS)


def _signal(row: Row, text: str) -> str | None:
    """What the row's kind of rule says about one example or lookalike."""
    if row.agent is not None:
        found = MACHINES.named(text)
        return found.signal if found else None
    if row.method is not None:
        return MACHINES.methods.get(text)
    return next(iter(MACHINES.networks.names(text)), None)


@pytest.mark.parametrize(("row", "text"), [(row, text) for row in ROWS for text in row.examples])
def test_a_row_recognises_its_examples(row: Row, text: str) -> None:
    assert _signal(row, text) == row.signal


@pytest.mark.parametrize(("row", "text"), [(row, text) for row in ROWS for text in row.lookalikes])
def test_a_row_leaves_its_lookalikes_alone(row: Row, text: str) -> None:
    assert _signal(row, text) != row.signal


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.signal)
def test_a_row_is_about_one_thing_and_says_why(row: Row) -> None:
    assert [row.agent is not None, row.method is not None, bool(row.networks)].count(True) == 1
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row.signal)
    assert len(row.says) > 20
    assert row.says.endswith(".")
    assert re.match(r"https://|the agents? names? (itself|themselves)$", row.source)
    assert row.examples
    assert row.lookalikes
    assert row.client is None or row.agent is not None


def test_a_signal_has_one_row_for_agents_at_most() -> None:
    signals = [row.signal for row in ROWS if row.agent is not None]
    assert len(signals) == len(set(signals))


def test_no_row_is_wholly_in_the_shade_of_those_before_it() -> None:
    seen = {found.signal for row in ROWS if row.agent is not None for text in row.examples
            if (found := MACHINES.named(text))}  # fmt: skip
    assert seen == {row.signal for row in ROWS if row.agent is not None}


def test_a_row_with_a_misspelled_name_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="agnet"):
        msgspec.convert({"signal": "x", "says": "", "source": "", "examples": [], "lookalikes": [], "agnet": "x"}, Row)


@pytest.mark.parametrize("text", ["a" * 512, "bot" * 170, "-" * 512, "Mozilla/5.0 " * 42, "(link " * 85, "\n" * 512])
def test_no_pattern_is_slow_on_what_nobody_sends(text: str) -> None:
    MACHINES.named(text)  # a pattern that backtracks without end meets the suite's timeout
