"""`loopwire dead`: what is asked of the API, and how what comes back reads."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api

LIST, LOOPS = "GET /v1/loops/lp_7h3k/dead", "GET /v1/loops"
REDRIVE, PURGE = "POST /v1/loops/lp_7h3k/dead/redrive", "POST /v1/loops/lp_7h3k/dead/purge"
LETTER: dict[str, Any] = {
    "loop": "lp_7h3k", "delivery": "msg_1", "event": "e1", "type": "click", "profile": "jane",
    "recipient": "jane@mail.example", "message": None, "at": "2026-03-24T14:52:07.250000Z",
    "reason": "answered 410 Gone", "status": 410, "attempts": 1, "readable": True,
    "history": [{"attempt": 1, "at": "2026-03-24T14:52:07Z", "status": 410, "error": "answered 410 Gone"}],
}  # fmt: skip
PAGE = {"dead": [LETTER], "total": 3, "next_cursor": "abc"}


def test_those_of_a_loop_are_a_table(served: Api, loopwire: Loopwire) -> None:
    served.answer(f"{LIST}?reason=answered+410&type=click&limit=1", Answer(200, PAGE))
    code, out, err = loopwire(
        "dead", "list", "--loop", "lp_7h3k", "--reason", "answered 410", "--type", "click", "--limit", "1"
    )
    assert (code, err) == (0, "there are 3: --cursor abc leads on\n")
    assert out.splitlines()[1].split() == [
        "2026-03-24", "14:52:07", "lp_7h3k", "msg_1", "click", "jane@mail.example", "1", "answered", "410", "Gone",
    ]  # fmt: skip


def test_without_a_loop_those_of_all_are_listed(served: Api, loopwire: Loopwire) -> None:
    later = LETTER | {"loop": "lp_b", "delivery": "msg_2", "at": "2026-03-25T09:00:00Z"}
    served.answer(LOOPS, Answer(200, [{"id": "lp_7h3k"}, {"id": "lp_b"}]))
    served.answer(f"{LIST}?limit=50", Answer(200, PAGE | {"total": 1}))
    served.answer("GET /v1/loops/lp_b/dead?limit=50", Answer(200, {"dead": [later], "total": 1, "next_cursor": None}))
    code, out, _ = loopwire("dead", "list", "--json")
    assert (code, json.loads(out)) == (0, {"dead": [later, LETTER], "total": 2, "next_cursor": None})


def test_one_is_shown_with_its_history_and_its_event(served: Api, loopwire: Loopwire) -> None:
    served.answer(LOOPS, Answer(200, [{"id": "lp_b"}, {"id": "lp_7h3k"}]))
    served.answer("GET /v1/loops/lp_7h3k/dead/msg_1", Answer(200, LETTER | {"content": {"id": "e1"}}))
    code, out, _ = loopwire("dead", "show", "msg_1")
    assert code == 0
    assert "reason     answered 410 Gone\n" in out
    assert "attempt 1  2026-03-24T14:52:07Z  answered 410 Gone\n" in out
    assert out.endswith('{\n  "id": "e1"\n}\n')


def test_redriving_asks_again_while_something_is_left(served: Api, loopwire: Loopwire) -> None:
    served.answer(
        REDRIVE, Answer(202, {"redriven": 10_000, "left": 7}), Answer(202, {"redriven": 5, "left": 2}),
        Answer(202, {"redriven": 0, "left": 2}),
    )  # fmt: skip
    words = ("dead", "redrive", "--loop", "lp_7h3k", "--type", "click", "--from", "2026-03-24", "--rate", "50/s")
    assert loopwire(*words) == (0, "10,005 on the way again, 2 can't be read and stay\n", "")
    assert [call.json for call in served.calls] == [
        {"from": "2026-03-24T00:00:00+00:00", "type": "click", "rate": 50.0}
    ] * 3


def test_some_or_all_are_redriven(served: Api, loopwire: Loopwire) -> None:
    served.answer(REDRIVE, Answer(202, {"redriven": 2, "left": 0}), Answer(202, {"redriven": 9, "left": 0}))
    assert loopwire("dead", "redrive", "msg_1", "msg_2", "--loop", "lp_7h3k")[1] == "2 on the way again\n"
    code, out, _ = loopwire("dead", "redrive", "--all", "--loop", "lp_7h3k", "--json")
    assert (code, json.loads(out)) == (0, {"redriven": 9, "left": 0})
    assert [call.json for call in served.calls] == [{"deliveries": ["msg_1", "msg_2"]}, {}]


@pytest.mark.parametrize(("call", "word"), [(REDRIVE, "redriven"), (PURGE, "purged")])
def test_one_that_was_named_and_is_not_there_is_told(served: Api, loopwire: Loopwire, call: str, word: str) -> None:
    served.answer(call, Answer(200, {word: 1, "left": 0}))
    code, out, err = loopwire("dead", call.rpartition("/")[2], "a", "b", "a", "--loop", "lp_7h3k")
    assert (code, out[:2]) == (1, "1 ")
    assert err == "loopwire: 1 of those named: lp_7h3k has no such dead letter, or the filters leave it out\n"


@pytest.mark.parametrize("rate", ["inf", "nan/s", "much"])
def test_a_rate_that_is_none_is_told(served: Api, loopwire: Loopwire, rate: str) -> None:
    told = loopwire("dead", "redrive", "--all", "--loop", "lp_7h3k", "--rate", rate)
    assert told == (1, "", f"loopwire: --rate: {rate!r} is no rate: write 50/s\n")
    assert served.calls == []


def test_purging_says_all_where_all_is_meant(served: Api, loopwire: Loopwire) -> None:
    served.answer(PURGE, Answer(200, {"purged": 3, "left": 0}), Answer(200, {"purged": 1, "left": 0}))
    assert loopwire("dead", "purge", "--all", "--loop", "lp_7h3k", "--yes")[1] == "3 purged\n"
    assert loopwire("dead", "purge", "msg_1", "--loop", "lp_7h3k", "-y")[1] == "1 purged\n"
    assert [call.json for call in served.calls] == [{"all": True}, {"deliveries": ["msg_1"]}]


@pytest.mark.parametrize("command", ["redrive", "purge"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "loopwire: --loop: say which loop"),
        (("--loop", "lp_7h3k"), "loopwire: say which: ids, filters"),
        (("--loop", "lp_7h3k", "--all", "msg_1"), "loopwire: say which: ids, filters"),
        (("--loop", "lp_7h3k", "--from", "yesterday"), "loopwire: --from: 'yesterday' is no time"),
    ],
)
def test_what_is_not_said_is_told_in_a_line(
    served: Api, loopwire: Loopwire, command: str, words: tuple[str, ...], told: str
) -> None:
    code, out, err = loopwire("dead", command, *words)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(told)
    assert served.calls == []
