"""`profiles load` and `mailings load`: chunks, order, the list of what was rejected, and what a mistake says."""

import io
import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import load
from pipeline.cli.rows import Bad, Good, Lines
from pipeline.cli.sending import Chunk, chunked, sent
from tests.cli.conftest import KEY, Loopwire
from tests.cli.running import Answer, Api, Call, bulk, ended, problem, start

BULK = "POST /v1/profiles"
HEADER = "id,email,city\n"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is asked at once."""
    monkeypatch.setattr("pipeline.cli.api.BACKOFF_SECONDS", 0.0)


def _file(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _good(line: int, name: str = "") -> Good:
    return Good(line, b"x", name or f"p{line}", b"{}")


def test_a_csv_goes_in_as_ndjson(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    path = _file(tmp_path, HEADER + "j,j@x.nl,Utrecht\nk,k@x.nl,\n")
    code, out, err = loopwire("profiles", "load", path)
    assert (code, err) == (0, "")
    assert out.startswith("2 profiles accepted, 0 rejected, in ")
    (call,) = served.calls
    assert (call.key, call.headers["content-type"]) == (KEY, "application/x-ndjson")
    assert [json.loads(line) for line in call.body.splitlines()] == [
        {"id": "j", "email": "j@x.nl", "fields": {"city": "Utrecht"}},
        {"id": "k", "email": "k@x.nl", "fields": {}},
    ]


def test_lines_are_rejected_by_their_number_in_the_file(
    served: Api, loopwire: Loopwire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PROFILES_A_CALL", 3)
    lines = [HEADER.strip(), "a,a@x,", "b,,", "\n\nc/,c@x,", 'd,d@x,"two\nlines"', "e,,", "f", "g,g@x,"]
    path, rejected = _file(tmp_path, "\n".join(lines)), tmp_path / "rejected"
    code, out, err = loopwire("profiles", "load", path, "--rejected", rejected, "--json")
    expected = [
        (3, "email: is missing", "b,,"),
        (6, "id: has 1 to 128 characters of A-Z a-z 0-9 . _ : @ + -", "c/,c@x,"),
        (9, "email: is missing", "e,,"),
        (10, "has 1 cells, the header 3", "f"),
    ]
    assert code == 1
    assert err.splitlines() == [f"line {line}: {why}" for line, why, _ in expected]
    assert json.loads(out) == {
        "accepted": 3, "rejected": 4, "errors": [{"line": line, "error": why} for line, why, _ in expected],
    }  # fmt: skip
    assert [json.loads(line) for line in rejected.read_text().splitlines()] == [
        {"line": line, "error": why, "text": text} for line, why, text in expected
    ]
    assert len(served.calls) == 3


def test_the_first_twenty_are_shown_and_all_are_written(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    path, rejected = _file(tmp_path, HEADER + "".join(f"p{n},,\n" for n in range(50))), tmp_path / "rejected"
    code, out, err = loopwire("profiles", "load", path)
    assert (code, out[:35]) == (1, "0 profiles accepted, 50 rejected, i")
    assert err.splitlines() == [
        *(f"line {n}: email: is missing" for n in range(2, 22)),
        "and 30 more: --rejected FILE lists them all",
    ]
    assert f"and 30 more: all are in {rejected}" in loopwire("profiles", "load", path, "--rejected", rejected)[2]
    assert [json.loads(line)["line"] for line in rejected.read_text().splitlines()] == list(range(2, 52))


def test_stdin_is_read_as_it_is_said_to_be(served: Api) -> None:
    process = start("profiles", "load", "-", "--format", "ndjson", stdin=subprocess.PIPE)
    code, out, err = ended(process, '{"id": "j", "email": "j@x"}\n\n{"profile": "k", "email": "k@x"}\nno\n')
    assert (code, err) == (1, "line 4: is not JSON: Input data was truncated\n")
    assert out.startswith("2 profiles accepted, 1 rejected, in ")
    assert [json.loads(line)["id"] for line in served.calls[0].body.splitlines()] == ["j", "k"]


def test_mailings_are_put_each(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    served.answer("PUT /v1/mailings/m1", Answer(204))
    served.answer("PUT /v1/mailings/m%40x", problem(422, "invalid", "body.name: is too long"))
    served.answer("PUT /v1/mailings/m3", Answer(429, b"", {"retry-after": "0"}), Answer(503, b""), Answer(204))
    path = _file(tmp_path, "mailing,name,tags\nm1,Spring,sale|spring\nm@x,long,\nm3,,\n")
    code, out, err = loopwire("mailings", "load", path)
    assert (code, err) == (1, "line 3: body.name: is too long\n")
    assert out.startswith("2 mailings accepted, 1 rejected, in ")
    asked = {call.path: call.json for call in served.calls}
    assert asked == {
        "/v1/mailings/m1": {"name": "Spring", "tags": ["sale", "spring"]},
        "/v1/mailings/m%40x": {"name": "long", "tags": []},
        "/v1/mailings/m3": {"tags": []},
    }
    assert len(served.calls) == 5, "m3 was asked again, twice"


def test_a_mailing_whose_id_means_a_folder_is_rejected_and_the_others_go_on(
    served: Api, loopwire: Loopwire, tmp_path: Path
) -> None:
    served.answer("PUT /v1/mailings/m1", Answer(204))
    served.answer("PUT /v1/mailings/...", Answer(204))
    code, out, err = loopwire("mailings", "load", _file(tmp_path, "id\n.\nm1\n..\n...\n", "m.csv"))
    assert (code, out.startswith("2 mailings accepted, 2 rejected, in ")) == (1, True)
    assert err == "line 2: id: . can't stand in an address\nline 4: id: .. can't stand in an address\n"


def test_an_ndjson_of_mailings(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    served.answer("PUT /v1/mailings/m1", Answer(204), Answer(204))
    text = '{"mailing": "m1", "name": "a"}\n{"id": "m1", "tags": ["b"]}\n'
    assert loopwire("mailings", "load", _file(tmp_path, text, "m.jsonl"))[0] == 0
    assert [call.json for call in served.calls] == [{"name": "a"}, {"tags": ["b"]}], "in their order: one id"


def test_a_busy_api_is_asked_again(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    served.answer(BULK, Answer(429, b"", {"retry-after": "0"}), Answer(503, b"", {"retry-after": "0"}))
    code, _, err = loopwire("profiles", "load", _file(tmp_path, HEADER + "j,j@x,\n"))
    assert (code, err, len(served.calls)) == (0, "", 3)
    assert len({call.body for call in served.calls}) == 1


def test_a_refusal_of_all_ends_it_and_says_how_far_it_came(
    served: Api, loopwire: Loopwire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PROFILES_A_CALL", 2)
    monkeypatch.setattr(load, "CALLS_AT_ONCE", 1)
    served.answer(BULK, Answer(200, {"accepted": 2, "rejected": []}), problem(401, "unauthorized", "no key"))
    path = _file(tmp_path, HEADER + "".join(f"p{n},p@x,\n" for n in range(20)))
    code, out, err = loopwire("profiles", "load", path)
    assert (code, out) == (1, "")
    assert err == (
        "loopwire: no key (the key is from LOOPWIRE_API_KEY; `loopwire accounts add NAME` makes an account): "
        "it stopped behind line 3, with 2 accepted; loading the whole file again does no harm\n"
    )
    assert len(served.calls) <= 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"accepted": 1, "rejected": [{"line": 2, "error": "x"}]}, "the API rejected line 2 of 1: x"),
        ({"accepted": 1}, "the API answered what this version does not know: Object missing required field `rejected`"),
    ],
)
def test_an_answer_that_is_none_is_told(
    served: Api, loopwire: Loopwire, tmp_path: Path, answer: object, told: str
) -> None:
    served.answer(BULK, Answer(200, answer))
    code, _, err = loopwire("profiles", "load", _file(tmp_path, HEADER + "j,j@x,\n"))
    assert (code, err) == (1, f"loopwire: {told}\n")


def test_files_that_can_t_be_used_are_told(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    path = _file(tmp_path, HEADER)
    for words, told in (
        ((tmp_path / "none.csv",), f"{tmp_path}/none.csv: No such file or directory"),
        ((tmp_path, "--format", "csv"), f"{tmp_path}: Is a directory"),
        ((tmp_path / "people.txt",), f"{tmp_path}/people.txt: is it csv or ndjson? --format says so"),
        (("-",), "stdin: is it csv or ndjson? --format says so"),
        ((path, "--rejected", path), f"--rejected {path} is the file that is loaded"),
        ((path, "--rejected", tmp_path / "no" / "such"), f"--rejected {tmp_path}/no/such: No such file or directory"),
        ((_file(tmp_path, "email\n", "x.csv"),), "the header has no column id or profile; it has email"),
    ):
        assert loopwire("profiles", "load", *words) == (1, "", f"loopwire: {told}\n")
    assert path.read_text() == HEADER
    assert served.calls == []


def test_a_list_of_rejected_lines_that_can_t_be_written_is_told(
    served: Api, loopwire: Loopwire, tmp_path: Path
) -> None:
    path = _file(tmp_path, HEADER + "a b,a@shop.example\n")
    told = "loopwire: --rejected /dev/full: No space left on device\n"
    assert loopwire("profiles", "load", path, "--rejected", "/dev/full") == (1, "", told)
    assert served.calls == []


def test_a_load_without_rows_is_one_of_none(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    code, out, err = loopwire("profiles", "load", _file(tmp_path, HEADER))
    assert (code, err, served.calls) == (0, "", [])
    assert out.startswith("0 profiles accepted, 0 rejected, ")


def test_chunks_end_by_count_and_by_size() -> None:
    rows: list[Good | Bad] = [_good(1), Bad(2, b"x", "why"), _good(3), _good(4)]
    lines = Lines(io.BytesIO())
    assert [(len(chunk.good), len(chunk.bad)) for chunk in chunked(rows, lines, 2)] == [(1, 1), (2, 0), (0, 0)]
    large: list[Good | Bad] = [_good(n)._replace(body=b"x" * 600_000) for n in range(3)]
    assert [len(chunk.good) for chunk in chunked(large, lines, 100)] == [2, 1]


def _chunks(*ids: Sequence[str]) -> list[Chunk]:
    made = [[_good(at * 10 + n, name) for n, name in enumerate(names)] for at, names in enumerate(ids)]
    return [Chunk(rows, [], {row.id for row in rows}, at) for at, rows in enumerate(made)]


def test_so_many_are_under_way_at_once_and_no_more_are_read_ahead() -> None:
    under_way = threading.Barrier(3)
    read: list[int] = []

    def send(_rows: list[Good]) -> list[Bad]:
        under_way.wait(30)
        return []

    def reading() -> Any:
        for chunk in _chunks(*([f"p{n}"] for n in range(6))):
            read.append(chunk.end)
            yield chunk

    answers = sent(reading(), send, 3)
    assert next(answers).end == 0
    assert len(read) <= 4
    assert [one.end for one in answers] == [1, 2, 3, 4, 5]


def test_a_later_row_of_an_id_waits_for_the_earlier_one() -> None:
    order: list[str] = []
    lock = threading.Lock()
    second = threading.Event()

    def send(rows: list[Good]) -> list[Bad]:
        names = [row.id for row in rows]
        if names == ["j"]:
            assert second.wait(30), "the chunk that shares no id went meanwhile"
        with lock:
            order.append("+".join(names))
        if names == ["k"]:
            second.set()
        return []

    list(sent(_chunks(["j"], ["k"], ["j", "l"]), send, 3))
    assert order == ["k", "j", "j+l"]


def test_memory_stays_bounded_where_all_is_rejected(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    served.always[BULK] = _at_most(2_000_000)
    path = _file(tmp_path, HEADER + "".join(f"p{n},p{n}@x.nl,Utrecht\n" for n in range(20_000)))
    code, out, _ = loopwire("profiles", "load", path)
    assert (code, out[:25]) == (0, "20,000 profiles accepted,")
    assert len(served.calls) == 5


def _at_most(size: int) -> Any:
    def answer(call: Call) -> Answer:
        return bulk(call) if len(call.body) <= size else problem(413, "too-large", "the body is too large")

    return answer
