"""`loopwire loops`: what is asked of the API, what is shown of its answer, and how a refusal reads."""

import json
import sys
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest

from tests.cli.conftest import KEY, Loopwire
from tests.cli.running import Answer, Api, problem

LOOP: dict[str, Any] = {
    "id": "lp_7h3k",
    "name": "shop.example",
    "url": "https://shop.example/hooks/in.php",
    "events": ["open", "click"],
    "format": "form",
    "filter": {"mailings": [], "tags": [], "machine": True, "exclude_origins": []},
    "state": "unverified",
    "reason": None,
    "verification": {
        "file": "loopwire-00ff.txt",
        "content": "loopwire-c0ffee",
        "urls": ["https://shop.example/hooks/loopwire-00ff.txt", "https://shop.example/loopwire-00ff.txt"],
    },
}
ACTIVE = LOOP | {"state": "active"}
GONE = LOOP | {"id": "lp_gone", "state": "disabled", "reason": "gone", "name": "an [old] one :smile:"}
PLACE = """\
To prove that the address is yours, place a file
  loopwire-00ff.txt
with this one line in it
  loopwire-c0ffee
so that it is found at either of
  https://shop.example/hooks/loopwire-00ff.txt
  https://shop.example/loopwire-00ff.txt
and say: loopwire loops verify lp_7h3k
"""


def test_loops_are_a_table(served: Api, loopwire: Loopwire) -> None:
    served.answer("GET /v1/loops", Answer(200, [ACTIVE, GONE]))
    code, out, err = loopwire("loops", "list")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["id", "name", "state", "events", "format", "url"],
        ["lp_7h3k", "shop.example", "active", "open,click", "form", LOOP["url"]],
        ["lp_gone", "an", "[old]", "one", ":smile:", "disabled", "(gone)", "open,click", "form", LOOP["url"]],
    ]  # fmt: skip
    assert served.calls[0].key == KEY


def test_no_loops_is_told_and_no_mistake(served: Api, loopwire: Loopwire) -> None:
    served.answer("GET /v1/loops", Answer(200, []))
    assert loopwire("loops", "list") == (
        0, "", "there are no loops yet: `loopwire loops add URL --event open` makes one\n",
    )  # fmt: skip


def test_a_loop_is_added_with_a_name_of_its_host(served: Api, loopwire: Loopwire) -> None:
    served.answer("POST /v1/loops", Answer(201, LOOP | {"secret": "whsec_abc"}))
    code, out, err = loopwire("loops", "add", LOOP["url"], "--event", "open", "--event", "click")
    assert (code, err) == (0, "")
    assert out == (
        "loop    lp_7h3k  (unverified)\n"
        "secret  whsec_abc  (shown this once: it checks the POSTs' signatures)\n"
        f"\n{PLACE}"
    )
    assert served.calls[0].json == {
        "name": "shop.example",
        "url": LOOP["url"],
        "events": ["open", "click"],
        "format": "form",
        "filter": {"mailings": [], "tags": [], "machine": True, "exclude_origins": []},
    }


def test_all_that_a_loop_may_have_is_an_option(served: Api, loopwire: Loopwire) -> None:
    served.answer("POST /v1/loops", Answer(201, LOOP | {"secret": "whsec_abc"}))
    words = ["--event", "open, click", "--name", "n", "--format", "json", "--tag", "a", "--tag", "b", "--mailing", "m",
             "--no-machine", "--exclude-origin", "crm", "--field", "city", "--rate", "2.5/s", "--max-in-flight", "3",
             "--ordered", "--batch", "50", "--batch-bytes", "4096", "--batch-ms", "250",
             "--header", "Authorization: Basic a:b"]  # fmt: skip
    code, _, err = loopwire("loops", "add", LOOP["url"], *words)
    assert (code, err) == (0, "")
    assert served.calls[0].json == {
        "name": "n",
        "url": LOOP["url"],
        "events": ["open", "click"],
        "format": "json",
        "filter": {"mailings": ["m"], "tags": ["a", "b"], "machine": False, "exclude_origins": ["crm"]},
        "fields": ["city"],
        "rate": 2.5,
        "max_in_flight": 3,
        "ordered": True,
        "batch": {"events": 50, "bytes": 4096, "ms": 250},
        "headers": {"Authorization": "Basic a:b"},
    }


def test_a_letter_that_the_locale_has_not_is_no_fault(
    served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.answer("GET /v1/loops", *[Answer(200, [LOOP | {"name": "schön ☃"}])] * 2)
    for words in (("--json",), ()):
        out = TextIOWrapper(BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", out)
        assert loopwire("loops", "list", *words)[0] == 0
        out.flush()
        assert "schön ☃" in out.buffer.getvalue().decode()


def test_a_header_that_is_none_is_told_without_its_value(served: Api, loopwire: Loopwire) -> None:
    code, out, err = loopwire("loops", "add", LOOP["url"], "--event", "open", "--header", "hush")
    assert (code, out, served.calls) == (1, "", [])
    assert "NAME:VALUE" in err
    assert "hush" not in err


@pytest.mark.parametrize(
    ("words", "call", "answer"),
    [
        (("list",), "GET /v1/loops", [LOOP]),
        (("add", LOOP["url"], "--event", "open"), "POST /v1/loops", LOOP | {"secret": "whsec_abc"}),
        (("verify", "lp_7h3k"), "POST /v1/loops/lp_7h3k/verify", ACTIVE),
        (("test", "lp_7h3k"), "POST /v1/loops/lp_7h3k/test", {"status": 204, "ms": 12, "response": ""}),
        (("pause", "lp_7h3k"), "POST /v1/loops/lp_7h3k/pause", LOOP | {"state": "paused"}),
        (("resume", "lp_7h3k"), "POST /v1/loops/lp_7h3k/resume", ACTIVE),
        (("rotate", "lp_7h3k"), "POST /v1/loops/lp_7h3k/secrets", {"secret": "whsec_b", "old_expires_at": "t"}),
    ],
)
def test_with_json_the_answer_is_all_of_stdout(
    served: Api, loopwire: Loopwire, words: tuple[str, ...], call: str, answer: object
) -> None:
    served.answer(call, Answer(200, answer))
    code, out, err = loopwire("loops", *words, "--json")
    assert (code, json.loads(out), err) == (0, answer, "")


@pytest.mark.parametrize(
    ("word", "call", "answer", "told"),
    [
        ("verify", "verify", ACTIVE, "lp_7h3k is active: https://shop.example/hooks/in.php\n"),
        ("pause", "pause", LOOP | {"state": "paused"}, "lp_7h3k is paused: https://shop.example/hooks/in.php\n"),
        ("resume", "resume", ACTIVE, "lp_7h3k is active: https://shop.example/hooks/in.php\n"),
        ("rotate", "secrets", {"secret": "whsec_b", "old_expires_at": "2026-03-21T09:15:00Z"},
         "secret  whsec_b  (shown this once)\nthe old one signs too, until 2026-03-21T09:15:00Z\n"),
        ("test", "test", {"status": 204, "ms": 12, "response": ""}, "answered 204 after 12 ms\n"),
    ],
)  # fmt: skip
def test_what_was_done_is_told(
    served: Api, loopwire: Loopwire, word: str, call: str, answer: object, told: str
) -> None:
    served.answer(f"POST /v1/loops/lp_7h3k/{call}", Answer(200, answer))
    assert loopwire("loops", word, "lp_7h3k") == (0, told, "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 500, "ms": 7, "response": "oo\x1b[2Jps\n"}, "answered 500 after 7 ms\noo\\x1b[2Jps\\n\n"),
        (
            {"status": None, "ms": 5000.4, "response": "", "error": "connection refused"},
            "no answer after 5000 ms: connection refused\n",
        ),
        ({"status": 200, "ms": 9.0, "response": "o", "error": "cut short"}, "answered 200 after 9 ms: cut short\no\n"),
    ],
)
def test_a_test_post_that_failed_exits_1(served: Api, loopwire: Loopwire, answer: object, told: str) -> None:
    served.answer("POST /v1/loops/lp_7h3k/test", Answer(200, answer))
    assert loopwire("loops", "test", "lp_7h3k") == (1, told, "")


def test_a_file_that_was_not_found_is_told_with_its_places(served: Api, loopwire: Loopwire) -> None:
    beside, root = LOOP["verification"]["urls"]
    fetched = [
        {"url": beside, "status": 404, "error": "answered 404"},
        {"url": root, "status": 200, "error": "has another content", "body": "<html>\x1b"},
    ]
    served.answer(
        "POST /v1/loops/lp_7h3k/verify", problem(422, "unverifiable", f"{beside}: ...; {root}: ...", fetched=fetched)
    )
    served.answer("GET /v1/loops/lp_7h3k", Answer(200, LOOP))
    assert loopwire("loops", "verify", "lp_7h3k") == (
        1,
        "",
        "loopwire: the verification file was not found\n"
        f"  {beside}: answered 404\n"
        f"  {root}: has another content\n"
        "    it begins with '<html>\\x1b'\n" + PLACE,
    )


def test_remove_removes_and_asks_no_script(served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    served.answer("DELETE /v1/loops/lp_7h3k", Answer(204), Answer(204))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert loopwire("loops", "remove", "lp_7h3k") == (0, "lp_7h3k is removed\n", "")
    code, out, _ = loopwire("loops", "remove", "lp_7h3k", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"id": "lp_7h3k", "removed": True})


def test_an_id_can_t_become_another_call(served: Api, loopwire: Loopwire) -> None:
    served.answer("DELETE /v1/loops/a%2F..%3Fb", problem(404, "not-found", "there is no such loop"))
    assert loopwire("loops", "remove", "a/..?b", "--yes") == (1, "", "loopwire: there is no such loop\n")
    for word, why in (
        ("", "an id has 1 to 128 characters of A-Z a-z 0-9 . _ : @ + -"),
        (".", "the id . can't stand in an address"),
        ("..", "the id .. can't stand in an address"),
    ):
        assert loopwire("loops", "remove", word, "--yes") == (1, "", f"loopwire: {why}\n")
    assert len(served.calls) == 1


def test_the_public_keys_are_told_with_the_record_to_be_published(served: Api, loopwire: Loopwire) -> None:
    times = {"signs_from": "2026-03-20T09:00:00Z", "signs_until": None}
    txt = f"v=DKIM1;k=rsa;p={'M' * 390}"
    keys = [
        {"kind": "v1a", "public": "whpk_AAAA", "name": None, "txt": None} | times,
        {"kind": "http", "public": "MIIB", "name": "a.sender.example", "txt": txt} | times,
    ]
    served.answer("GET /v1/loops/lp_7h3k", Answer(200, {"public_keys": keys}), Answer(200, {"public_keys": []}))
    code, out, _ = loopwire("loops", "keys", "lp_7h3k")
    assert (code, out.splitlines()) == (
        0,
        [
            "v1a  signs from 2026-03-20T09:00:00Z",
            "  whpk_AAAA",
            "http  signs from 2026-03-20T09:00:00Z",
            f'  a.sender.example. TXT "{txt[:255]}" "{txt[255:]}"',  # no string of a zone file is longer
        ],
    )
    assert "signs by its secret alone" in loopwire("loops", "keys", "lp_7h3k")[2]
