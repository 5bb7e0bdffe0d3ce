"""Which past events a replay asks for."""

from typing import Any

import msgspec
import pytest

from pipeline.model.replays import Replay
from pipeline.route.matching import Matter
from pipeline.route.selection import chosen
from tests.examples import example

NINE, TEN = 1_773_997_200_000, 1_774_000_800_000  # from 9:00 to before 10:00 is what the example asks for
EVENT = {"id": "1", "type": "click", "account": "shop", "profile": "jane", "mailing": "spring", "tags": ["sale", "b"]}


@pytest.mark.parametrize(
    ("wish", "event", "wanted"),
    [
        ({}, {}, True),
        ({"types": ["click", "open"]}, {}, True),
        ({"types": ["open"]}, {}, False),
        ({"mailings": ["spring"]}, {}, True),
        ({"mailings": ["autumn"]}, {}, False),
        ({"mailings": ["spring"]}, {"mailing": None}, False),
        ({"profiles": ["jane", "joe"]}, {}, True),
        ({"profiles": ["joe"]}, {}, False),
        ({"tags": ["b"]}, {}, True),
        ({"tags": ["c"]}, {}, False),
        ({"tags": ["c"]}, {"tags": None}, False),
        ({"tags": ["b"], "profiles": ["joe"]}, {}, False),
    ],
)
def test_each_list_that_is_given_has_to_let_it_through(
    wish: dict[str, Any], event: dict[str, Any], wanted: bool
) -> None:
    asked = example("replay.v1", "asked") | {"types": [], "tags": []} | wish
    replay = msgspec.convert(asked, Replay)
    assert chosen(replay, msgspec.convert(EVENT | event, Matter), NINE + 5) is wanted


@pytest.mark.parametrize(
    ("written", "wanted"), [(NINE - 1, False), (NINE, True), (TEN - 1, True), (TEN, False), (TEN + 1, False)]
)
def test_the_time_is_from_and_before(written: int, wanted: bool) -> None:
    replay = msgspec.convert(example("replay.v1", "asked"), Replay)
    assert chosen(replay, msgspec.convert(EVENT, Matter), written) is wanted
