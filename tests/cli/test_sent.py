"""`loopwire loops attempts` and `stats`: what is asked, and how the answers read."""

import json

import pytest

from pipeline.console.examples import ATTEMPT, EXAMPLES
from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api, problem

ATTEMPTS = EXAMPLES["GET /v1/loops/{loop}/attempts"].answered
STATS = EXAMPLES["GET /v1/loops/{loop}/stats"].answered
PATH = "GET /v1/loops/lp_7h3k"


def test_attempts_are_a_table_and_the_next_page_is_named(served: Api, loopwire: Loopwire) -> None:
    served.answer(f"{PATH}/attempts?limit=50", Answer(200, ATTEMPTS))
    code, out, err = loopwire("loops", "attempts", "lp_7h3k")
    assert (code, err) == (0, f"there are more: --cursor {ATTEMPTS['next_cursor']}\n")
    assert [line.split() for line in out.splitlines()] == [
        ["at", "state", "status", "ms", "type", "profile", "attempt", "next", "error"],
        ["2026-03-20", "09:15:01", "retrying", "500", "82", "click", "jane", "1", "2026-03-20", "09:15:06",
         "answered", "500"],
    ]  # fmt: skip


def test_every_filter_is_asked_escaped(served: Api, loopwire: Loopwire) -> None:
    query = (
        "state=failed&type=open&from=2026-03-20T08%3A00%3A00%2B00%3A00&to=2026-03-21T00%3A00%3A00%2B00%3A00"
        "&recipient=jane%2Ba%40mail.example&profile=p&message=m&event=e&delivery=d&limit=5&cursor=c"
    )
    served.answer(f"{PATH}/attempts?{query}", Answer(200, {"attempts": [], "next_cursor": None}))
    words = ["--state", "failed", "--type", "open", "--from", "2026-03-20T09:00:00+01:00", "--to",
             "2026-03-21", "--recipient", "jane+a@mail.example", "--profile", "p", "--message", "m",
             "--event", "e", "--delivery", "d", "--limit", "5", "--cursor", "c"]  # fmt: skip
    told = (0, "", "there are no such attempts\n")
    assert loopwire("loops", "attempts", "lp_7h3k", *words) == told


def test_json_is_the_answer_and_nothing_else(served: Api, loopwire: Loopwire) -> None:
    served.answer(f"{PATH}/attempts?limit=50", Answer(200, ATTEMPTS))
    served.answer(f"{PATH}/stats", Answer(200, STATS))
    for what, answer in (("attempts", ATTEMPTS), ("stats", STATS)):
        code, out, err = loopwire("loops", what, "lp_7h3k", "--json")
        assert (code, json.loads(out), err) == (0, answer, "")


def test_what_others_wrote_can_t_command_the_terminal(served: Api, loopwire: Loopwire) -> None:
    wild = ATTEMPT | {"error": "\x1b[2J" + "x" * 500, "status": None, "next_attempt": None}
    served.answer(f"{PATH}/attempts?limit=50", Answer(200, {"attempts": [wild], "next_cursor": None}))
    code, out, err = loopwire("loops", "attempts", "lp_7h3k")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "\\x1b[2J" in out
    assert "x" * 81 not in out


def test_stats_are_a_line_and_a_table_of_what_was_sent(served: Api, loopwire: Loopwire) -> None:
    served.answer(f"{PATH}/stats?step=15m", Answer(200, STATS))
    code, out, err = loopwire("loops", "stats", "lp_7h3k", "--step", "15m")
    assert (code, err) == (0, "")
    first, *rows = out.splitlines()
    assert first == "2026-03-20 09:00:00 to 2026-03-20 09:30:00: 1204 attempts, click 204, open 1000"
    counts = ["1204", "1190", "13", "1", "87", "207", "293"]
    assert [row.split()[-7:] for row in rows[1:]] == [counts, counts]
    assert rows[1].startswith("2026-03-20 09:00:00")
    assert rows[2].startswith("all")


def test_a_wrong_parameter_is_told_in_a_line(served: Api, loopwire: Loopwire) -> None:
    served.answer(f"{PATH}/stats?step=1x", problem(422, "invalid", "query.step: must match pattern"))
    assert loopwire("loops", "stats", "lp_7h3k", "--step", "1x") == (
        1,
        "",
        "loopwire: query.step: must match pattern\n",
    )


@pytest.mark.parametrize("what", ["attempts", "stats"])
def test_times_are_written_as_for_a_replay(served: Api, loopwire: Loopwire, what: str) -> None:
    served.answer(f"{PATH}/{what}?from=2026-03-20T09%3A00%3A00%2B00%3A00{'&limit=50' * (what == 'attempts')}",
                  Answer(200, {"attempts": ATTEMPTS, "stats": STATS}[what]))  # fmt: skip
    assert loopwire("loops", what, "lp_7h3k", "--from", "2026-03-20 09:00", "--json")[0] == 0
    told = "write 2026-03-20T09:00:00Z, 2026-03-20 09:00 (UTC), now, or 2h ago"
    assert loopwire("loops", what, "lp_7h3k", "--to", "bad") == (1, "", f"loopwire: --to: 'bad' is no time: {told}\n")
