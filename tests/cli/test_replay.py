"""`loopwire replay`: what is asked of the API, how it is followed, and how its end reads."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api, problem

ASK, FOLLOW = "POST /v1/loops/lp_7h3k/replays", "GET /v1/replays/rp_4k7m"
REPLAY: dict[str, Any] = {
    "id": "rp_4k7m", "loop": "lp_7h3k", "state": "queued", "reason": None, "matched": 0, "sent": 0, "progress": 0.0,
    "from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z", "types": [], "mailings": [], "tags": [],
    "profiles": [], "rate": None, "dry_run": False, "created_at": "2026-03-20T12:00:00Z", "cancelled_at": None,
}  # fmt: skip
HALF = REPLAY | {"state": "running", "matched": 1200, "sent": 1200, "progress": 0.5}
DONE = REPLAY | {"state": "done", "matched": 2400, "sent": 2400, "progress": 1.0}
SPAN = ("replay", "--loop", "lp_7h3k", "--from", "2026-03-20T09:00:00Z", "--to", "2026-03-20 11:00+01:00")


def test_it_is_asked_for_and_followed_to_its_end(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, Answer(202, REPLAY))
    served.answer(FOLLOW, Answer(200, HALF), Answer(200, DONE))
    choices = ("--type", "open,click", "--tag", "sale, spring", "--mailing", "m1", "--profile", "p1", "--rate", "50/s")
    assert loopwire(*SPAN, *choices) == (0, "rp_4k7m is done: 2,400 sent\n", "")
    assert served.calls[0].json == {
        "from": "2026-03-20T09:00:00+00:00", "to": "2026-03-20T10:00:00+00:00", "types": ["open", "click"],
        "mailings": ["m1"], "tags": ["sale, spring"], "profiles": ["p1"], "rate": 50.0, "dry_run": False,
    }  # fmt: skip


def test_a_dry_run_counts(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, Answer(202, DONE | {"dry_run": True, "sent": 0}))
    assert loopwire(*SPAN, "--dry-run") == (0, "rp_4k7m is done: 2,400 would be sent\n", "")
    assert served.calls[0].json["dry_run"] is True
    assert "rate" not in served.calls[0].json


def test_one_that_failed_says_why_and_exits_1(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, Answer(202, REPLAY))
    served.answer(FOLLOW, Answer(200, HALF | {"state": "failed", "reason": "the loop was removed"}))
    assert loopwire(*SPAN) == (1, "rp_4k7m is failed (the loop was removed): 1,200 sent\n", "")


def test_it_need_not_be_followed_and_can_be_later(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, Answer(202, REPLAY))
    assert loopwire(*SPAN, "--detach") == (0, "rp_4k7m is queued: 0 sent\n", "")
    served.answer(FOLLOW, Answer(200, HALF), Answer(200, DONE))
    code, out, _ = loopwire("replay", "--follow", "rp_4k7m", "--json")
    assert (code, json.loads(out)) == (0, DONE)


def test_it_is_cancelled(served: Api, loopwire: Loopwire) -> None:
    served.answer("DELETE /v1/replays/rp_4k7m", Answer(200, HALF | {"state": "cancelled"}))
    assert loopwire("replay", "--cancel", "rp_4k7m") == (0, "rp_4k7m is cancelled: 1,200 sent\n", "")


def test_those_of_a_loop_are_a_table(served: Api, loopwire: Loopwire) -> None:
    path = "GET /v1/loops/lp_7h3k/replays"
    served.answer(path, Answer(200, [HALF, DONE | {"dry_run": True}]), Answer(200, []))
    code, out, _ = loopwire("replay", "--loop", "lp_7h3k", "--list")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["id", "state", "from", "to", "sent", "progress"],
        ["rp_4k7m", "running", HALF["from"], HALF["to"], "1,200", "50%"],
        ["rp_4k7m", "done", HALF["from"], HALF["to"], "2,400", "counted", "100%"],
    ]
    assert loopwire("replay", "--loop", "lp_7h3k", "--list") == (
        0, "", "the loop has had no replays in the last 30 days\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "--loop: say which loop; `loopwire loops list` shows them"),
        (("--loop", "lp_1"), "--from: say since when, such as 2026-03-20T09:00:00Z or 2h ago"),
        (("--loop", "lp_1", "--from", "lately"), "--from: 'lately' is no time: write 2026-03-20T09:00:00Z, "),
        (("--loop", "lp_1", "--from", "9999999d ago"), "--from: '9999999d ago' is no time: "),
        (("--loop", "lp_1", "--from", "2h ago", "--to", "x ago"), "--to: 'x ago' is no time: "),
        (("--loop", "lp_1", "--from", "2h ago", "--rate", "fast"), "--rate: 'fast' is no rate: write 50/s"),
    ],
)
def test_what_can_t_be_meant_is_one_line(served: Api, loopwire: Loopwire, words: tuple[str, ...], line: str) -> None:
    code, out, err = loopwire("replay", *words)
    assert (code, out, served.calls) == (1, "", [])
    assert err.startswith(f"loopwire: {line}")
    assert err.count("\n") == 1


def test_a_refusal_is_told(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, problem(409, "unverified", "the loop is unverified: place the verification file"))
    assert loopwire(*SPAN) == (1, "", "loopwire: the loop is unverified: place the verification file\n")


def test_long_ago_and_now_are_times(served: Api, loopwire: Loopwire) -> None:
    served.answer(ASK, Answer(202, DONE))
    assert loopwire("replay", "--loop", "lp_7h3k", "--from", "90m ago")[0] == 0
    span = served.calls[0].json
    assert span["from"] < span["to"]
