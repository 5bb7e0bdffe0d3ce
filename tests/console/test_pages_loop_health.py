"""How loops fare, on the list and on a loop's overview: counted, drawn, and told as a table too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from typing import NamedTuple

import msgspec
import pytest

from pipeline.console.pages import chart
from pipeline.console.pages.waterfall import phases
from pipeline.console.shown import LatencyShown, PointShown, TimingsShown
from pipeline.kafka.memory import Memory
from pipeline.model.loops import Failing, failing_key
from tests.console.attempting import attempt, attempts, event, prove, until
from tests.console.running import TOPICS, Console, running
from tests.console.visitor import Visitor, editor


class Cast(NamedTuple):
    console: Console
    memory: Memory
    visitor: Visitor
    key: str
    loop: str

    def get(self, path: str) -> str:
        answer = self.visitor.get(path)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        told = event(memory)
        for number, name in enumerate(["delivered"] * 7 + ["again", "again", "dead"]):
            attempt(memory, loop, told, name, delivery=f"msg_{number}")
        long_past = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        attempt(memory, loop, told, "again", delivery="msg_over", next_attempt=long_past, error="<b>odd</b>")
        attempts(console, key, loop, 11)
        yield Cast(console, memory, editor(console, key), key, loop)


def test_the_overview_warns_of_a_loop_that_only_fails(cast: Cast) -> None:
    loop = cast.console.loop(cast.key)["id"]
    prove(cast.console, cast.memory, cast.key, loop)
    since = datetime(2026, 3, 20, 9, 15, tzinfo=UTC)

    def warns(told: bool) -> bool:
        return ("20 Mar 2026, 09:15 UTC" in cast.get(f"/loops/{loop}")) is told

    for row, told in (
        (Failing(loop=loop, epoch=1, since=since), False),
        (Failing(loop=loop, epoch=1, since=since, warned=True), True),
        (Failing(loop=loop, epoch=0, since=since, warned=True), False),
    ):
        cast.memory.producer().produce("loop-states", msgspec.json.encode(row), failing_key(loop))
        until(partial(warns, told))


def test_the_list_shows_a_line_the_share_of_success_and_what_waits(cast: Cast) -> None:
    page = cast.get("/loops")
    assert 'aria-label="11 POSTs in 24 hours"' in page
    assert "63.6 %" in page
    assert '<td class="end num " data-label="Waiting">2</td>' in page


def test_the_overview_draws_what_was_sent_and_tells_it_too(cast: Cast) -> None:
    for name, label in (("1h", "hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")):
        page = cast.get(f"/loops/{cast.loop}?range={name}")
        assert f"11 in the last {label}" in page
        assert "7 delivered, 3 retrying, 1 dead" in page
        assert page.count('<rect class="delivered"') >= 1
        assert '<path class="line p99"' in page
        assert f'?range={name}" aria-label="The last {label}" aria-current="true"' in page
    assert "Last error" in page


def test_a_range_that_is_none_is_the_usual_one(cast: Cast) -> None:
    assert "11 in the last 24 hours" in cast.get(f"/loops/{cast.loop}?range=<b>")


def test_a_loop_that_nothing_was_sent_to_says_so(cast: Cast) -> None:
    other = cast.console.loop(cast.key, name="quiet")["id"]
    assert "Nothing was sent in the last 24 hours" in cast.get(f"/loops/{other}")


def test_while_the_store_is_away_pages_say_so_and_the_rest_is_there() -> None:
    with running(database_url="sqlite:////proc/nowhere/console.db") as console:
        key = console.account("acme")
        loop, visitor = console.loop(key)["id"], editor(console, key)
        assert "shop" in visitor.get("/loops").text
        overview = visitor.get(f"/loops/{loop}")
        assert (overview.status_code, "store of attempts does not answer" in overview.text) == (200, True)
        for path in ("attempts", "attempts/at_1"):
            away = visitor.get(f"/loops/{loop}/{path}")
            assert (away.status_code, "store of attempts does not answer" in away.text) == (503, True)


def test_bars_stand_on_each_other_and_lines_break_where_nothing_was_sent() -> None:
    at = datetime(2026, 3, 20, tzinfo=UTC)
    latency = LatencyShown(p50=10, p95=50, p99=100)
    some = PointShown(at=at, attempts=10, delivered=5, retrying=3, dead=2, latency=latency)
    none = PointShown(at=at, attempts=0, delivered=0, retrying=0, dead=0, latency=None)
    drawn = chart.bars([some, none])
    assert drawn.top == 10
    assert [(part.outcome, part.y, part.height) for part in drawn.bars[0].parts] == [
        ("delivered", 80, 80), ("retrying", 32, 48), ("dead", 0, 32),
    ]  # fmt: skip
    lines = chart.lines([some, some, none, some])
    assert lines is not None
    assert (lines.top, lines.lines[0].path) == (100, "M75.0,144.0h0L225.0,144.0M525.0,144.0h0")
    assert chart.lines([none]) is None
    assert [chart.round_top(most) for most in (0, 1, 1.5, 3, 7, 11, 4321)] == [1, 1, 2, 5, 10, 20, 5000]


def test_a_waterfall_has_the_steps_that_took_time() -> None:
    whole = phases(TimingsShown(dns=10, connect=30, tls=60, first_byte=90, total=100), answered=True)
    assert [(one.name, one.start, one.length) for one in whole] == [
        ("DNS", 0, 10), ("Connect", 10, 20), ("TLS", 30, 30), ("Waiting", 60, 30), ("Reading", 90, 10),
    ]  # fmt: skip
    kept = phases(TimingsShown(dns=0, connect=0, tls=0, first_byte=5, total=5), answered=True)
    assert [one.name for one in kept] == ["Waiting"]
    failed = phases(TimingsShown(dns=1, connect=0, tls=0, first_byte=4000, total=5000), answered=False)
    assert [one.name for one in failed] == ["DNS", "Until it failed"]
    assert phases(TimingsShown(dns=0, connect=0, tls=0, first_byte=0, total=0), answered=False) == []
