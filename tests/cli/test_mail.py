"""What mail servers send back becomes hits: whose mail it was, and what happened to it."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.cli import mail, reports, whose
from pipeline.cli.reports import NoNewsError
from pipeline.cli.whose import Ways
from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api, Call, problem

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
LINK = Link("acme", "jane@mail.example", "spring-sale")
TOKEN = sign(LINK, "unsubscribe", *signing_key({"k1": b"k" * 32}, "acme"))
LETTERS = {path.stem: path.read_text() for path in (Path(__file__).parent / "letters").glob("*.eml")}
ARF, DSN = (LETTERS[name].replace("{token}", TOKEN) for name in ("arf", "dsn"))
FAILED = {
    "action": "failed", "code": 550, "extended": "5.1.1", "description": "550 5.1.1 no such user here",
    "envelope": "jane@mail.example", "server": "mx.mail.example",
}  # fmt: skip
AT = "2026-03-20T09:00:05+00:00"


def read(text: str, ways: Ways = Ways(), now: datetime = NOW) -> list[dict[str, Any]]:  # noqa: B008
    return reports.read(text.encode(), ways, now)


def why(text: str, ways: Ways = Ways()) -> str:  # noqa: B008
    with pytest.raises(NoNewsError) as no:
        read(text, ways)
    return str(no.value)


def test_a_complaint_is_an_abuse() -> None:
    details = {
        "description": "abuse", "emailfrom": "fbl@provider.example", "reporter": "ProviderFBL/1.0",
        "source_ip": "192.0.2.1",
    }  # fmt: skip
    at = "2026-03-20T09:12:13+00:00"
    assert read(ARF) == [{"type": "abuse", "link": TOKEN, "at": at, "details": details}]


def test_a_failed_delivery_is_a_bounce_and_a_failure() -> None:
    both = {"link": TOKEN, "at": AT, "details": FAILED}
    assert read(DSN) == [{"type": "bounce"} | both, {"type": "failure"} | both]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("letter", [ARF, DSN])
def test_line_ends_are_either(letter: str, line_end: str) -> None:
    assert read(letter.replace("\n", line_end)) == read(letter)


@pytest.mark.parametrize(
    ("action", "status", "types"),
    [
        ("failed", "5.1.1", ["bounce", "failure"]),
        ("FAILED", "5.1.1 (no such user)", ["bounce", "failure"]),
        ("delayed", "4.4.1", ["bounce"]),
        ("delivered", "2.1.5", ["delivery"]),
        ("relayed", "2.1.9", ["delivery"]),
        ("expanded", "2.0.0", ["delivery"]),
        ("", "5.2.2", ["bounce", "failure"]),
        ("", "4.2.2", ["bounce"]),
        ("", "2.0.0", ["delivery"]),
    ],
)
def test_what_was_done_says_what_it_is(action: str, status: str, types: list[str]) -> None:
    letter = DSN.replace("Action: failed", f"Action: {action}").replace("Status: 5.1.1", f"Status: {status}")
    assert [line["type"] for line in read(letter)] == types


@pytest.mark.parametrize(
    ("said", "code", "extended", "description"),
    [
        ("smtp; 550 5.1.1 no such user\n    here", 550, "5.1.1", "550 5.1.1 no such user here"),
        ("smtp;552-5.2.2 mailbox full", 552, "5.1.1", "552-5.2.2 mailbox full"),
        ("x-unix; unknown user", None, "5.1.1", "unknown user"),
        ("421 try again", 421, "5.1.1", "421 try again"),
    ],
)
def test_a_diagnosis_is_taken_apart(said: str, code: int | None, extended: str, description: str) -> None:
    letter = DSN.replace("smtp; 550 5.1.1 no such user\n    here", said)
    expected = FAILED | {"code": code, "extended": extended, "description": description}
    assert read(letter)[0]["details"] == {name: value for name, value in expected.items() if value}


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("abuse", "abuse"), ("Fraud", "abuse"), ("virus", "abuse"), ("other", "abuse"), ("opt-out", "unsubscribe")],
)
def test_a_complaint_has_a_type(kind: str, type_: str) -> None:
    [line] = read(ARF.replace("Feedback-Type: abuse", f"Feedback-Type: {kind}"))
    assert (line["type"], line["details"]["description"]) == (type_, kind.lower())


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", ""])
def test_what_is_no_complaint_is_no_news(kind: str) -> None:
    letter = ARF.replace("Feedback-Type: abuse", f"Feedback-Type: {kind}")
    assert why(letter) == f"a feedback report of the type {kind!r} is no complaint"


def test_a_report_of_no_recipient_is_no_news() -> None:
    assert (
        why(DSN.replace("Action: failed", "Action: dancing")) == "the report tells of nothing that happened to a mail"
    )


BODY = """Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

"""


@pytest.mark.parametrize(
    "link",
    [
        f"<p><img src=3D\"https://t.example.com/o/{TOKEN}.gif\"></p>",
        f"<a href=3D\"https://t.example.com/c/{TOKEN[:20]}=\n{TOKEN[20:]}\">x</a>",
        f"https://t.example.com/u/{TOKEN}",
    ],
)  # fmt: skip
def test_a_mail_is_known_by_a_link_in_its_text(link: str) -> None:
    letter = ARF.replace(f"https://t.example.com/u/{TOKEN}", "https://shop.example/leave").replace(
        "<p>Spring!</p>", link
    )
    assert read(letter)[0]["link"] == TOKEN


def test_a_mail_is_known_by_a_link_that_a_server_quotes_in_words() -> None:
    letter = (
        "Return-Path: <>\nFrom: MAILER-DAEMON@mail.example\nSubject: failure notice\n"
        "Date: Fri, 20 Mar 2026 09:00:05 -0000\n\nSorry.\n--- Below this line is a copy of the message.\n"
        f"List-Unsubscribe: <https://t.example.com/u/{TOKEN}>\n"
    )
    assert read(letter) == [{"type": "bounce", "link": TOKEN, "at": AT, "details": {"description": "failure notice"}}]


def test_a_link_that_was_cut_is_none() -> None:
    assert why(DSN.replace(TOKEN, TOKEN[:-1])) == "nothing in it says whose mail it was"
    assert why(DSN.replace(TOKEN, TOKEN + "A")) == "nothing in it says whose mail it was"


NAMED = "X-Loopwire-Profile: jane\nX-Loopwire-Mailing:  spring-sale\nX-Loopwire-Message: x@1"
NO_LINK = DSN.replace(f"List-Unsubscribe: <https://t.example.com/u/{TOKEN}>", "X-Mailer: shop")


def test_a_mail_is_known_by_its_headers() -> None:
    letter = NO_LINK.replace("X-Mailer: shop", NAMED)
    mail_ = {"profile": "jane", "mailing": "spring-sale", "message": "x@1"}
    assert mail_.items() <= read(letter)[0].items()
    own = letter.replace("X-Loopwire-Profile", "X-Who").replace("X-Loopwire-Mailing", "X-What")
    assert why(own) == "nothing in it says whose mail it was"
    assert mail_.items() <= read(own, Ways(("X-Who", "X-What", "X-Loopwire-Message")))[0].items()
    assert why(letter.replace("spring-sale\nX-L", "spring sale\nX-L")) == "nothing in it says whose mail it was"


@pytest.mark.parametrize(
    ("pattern", "is_known"),
    [
        ("bounce+{mailing}+{profile}@shop.example", {"mailing": "spring-sale", "profile": "jane@mail.example"}),
        ("BOUNCE+{mailing}+{profile}@Shop.Example", {"mailing": "spring-sale", "profile": "jane@mail.example"}),
        ("bounce+{mailing}-{message}+{profile}=mail.example@shop.example",
         {"mailing": "spring", "message": "sale", "profile": "jane"}),
        ("bounce+{mailing}+{profile}@other.example", None),
    ],
)  # fmt: skip
def test_a_mail_is_known_by_the_address_it_came_to(pattern: str, is_known: dict[str, str] | None) -> None:
    ways = Ways(address=whose.pattern(pattern))
    if is_known is None:
        assert why(NO_LINK, ways) == "nothing in it says whose mail it was"
    else:
        assert is_known.items() <= read(NO_LINK, ways)[0].items()
        assert read(DSN, ways)[0]["link"] == TOKEN  # which is signed, and so goes before


@pytest.mark.parametrize(
    "pattern", ["", "bounce@shop.example", "{profile}", "{profile}{mailing}{x}", "{profile}{mailing}{mailing}"]
)
def test_a_pattern_holds_what_names_a_mail(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"must hold \{profile\} and \{mailing\}"):
        whose.pattern(pattern)


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        ("", "is no report (RFC 5965, RFC 3464), nor from a mail server"),
        ("From: jane@mail.example\n\nThanks!", "is no report (RFC 5965, RFC 3464), nor from a mail server"),
        ("Return-Path: <>\nFrom: jane@a.example\nAuto-Submitted: auto-replied (x)\n\nAway.", "is an automatic answer"),
        ("From: MAILER-DAEMON\n\nSorry.", "nothing in it says whose mail it was"),
    ],
)  # fmt: skip
def test_what_tells_nothing_says_why(letter: str, reason: str) -> None:
    assert why(letter) == reason


@pytest.mark.parametrize(
    "date", ["Fri, 20 Mar 2026 15:00:00 +0000", "Fri, 20 Mar 2020 09:00:00 +0000", "yesterday", ""]
)
def test_a_date_that_cannot_be_is_left_out(date: str) -> None:
    assert "at" not in read(DSN.replace("Fri, 20 Mar 2026 09:00:05 +0000", date))[0]


def test_a_report_in_a_mail_that_was_passed_on_is_found() -> None:
    inner = DSN[DSN.index("Content-Type") :]
    head = "From: joe@shop.example\nContent-Type: multipart/mixed; boundary=outer\n\n"
    passed_on = f"{head}--outer\n\nFYI\n--outer\n{inner}\n--outer--\n"
    assert [line["type"] for line in read(passed_on)] == ["bounce", "failure"]


@given(st.binary(max_size=300), st.integers(0, 3000), st.integers(0, 200), st.sampled_from([ARF, DSN]))
def test_no_message_breaks_it(noise: bytes, at: int, gone: int, letter: str) -> None:
    data = letter.encode()
    try:
        lines = reports.read(
            data[:at] + noise + data[at + gone :], Ways(address=whose.pattern("{mailing}+{profile}@x")), NOW
        )
    except NoNewsError:
        return
    assert all({"type", "details"} < set(line) for line in lines)
    json.dumps(lines)


def taken(call: Call) -> Answer:
    lines = call.body.splitlines()
    return Answer(202, {"accepted": len(lines), "rejected": []})


@pytest.fixture
def api(served: Api) -> Api:
    served.always["POST /v1/hits"] = taken
    return served


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "box" / name).mkdir(parents=True)
    for age, (name, text) in enumerate((("1.a", DSN), ("2.b,U=3", "From: jane@mail.example\n\nHi"), ("3.c", ARF))):
        path = tmp_path / "box" / "new" / name
        path.write_text(text)
        os.utime(path, (age, age))
    return tmp_path / "box"


def test_a_maildir_s_new_messages_are_told_once(api: Api, loopwire: Loopwire, maildir: Path) -> None:
    (maildir / "cur" / "0.x:2,S").write_text(DSN)
    code, out, err = loopwire("mail", "read", maildir)
    assert (code, out) == (0, "3 messages: 3 hits accepted, 0 rejected; 1 messages told nothing\n")
    assert err == f"{maildir}/new/2.b,U=3: is no report (RFC 5965, RFC 3464), nor from a mail server\n"
    [call] = api.calls
    assert [json.loads(line)["type"] for line in call.body.splitlines()] == ["bounce", "failure", "abuse"]
    assert call.headers["content-type"] == "application/x-ndjson"
    assert list((maildir / "new").iterdir()) == []
    seen = {path.name for path in (maildir / "cur").iterdir()}
    assert seen == {"0.x:2,S", "1.a:2,S", "2.b,U=3:2,", "3.c:2,S"}
    assert loopwire("mail", "read", maildir)[1] == "0 messages: 0 hits accepted, 0 rejected; 0 messages told nothing\n"


def test_a_maildir_stays_where_the_api_does_not_take_it(served: Api, loopwire: Loopwire, maildir: Path) -> None:
    served.answer("POST /v1/hits", problem(503, "unavailable", "Kafka did not acknowledge it in time"))
    assert loopwire("mail", "read", maildir) == (1, "", "loopwire: Kafka did not acknowledge it in time\n")
    assert len(list((maildir / "new").iterdir())) == 3


def test_it_may_be_left_where_it_is(api: Api, loopwire: Loopwire, maildir: Path) -> None:
    assert loopwire("mail", "read", maildir, "--keep")[0] == 0
    code, out, err = loopwire("mail", "read", maildir, "--dry-run")
    assert (code, [json.loads(line)["type"] for line in out.splitlines()]) == (0, ["bounce", "failure", "abuse"])
    assert err.count("\n") == 1
    assert (len(api.calls), len(list((maildir / "new").iterdir()))) == (1, 3)


def test_a_file_holds_one_message_or_many(api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_text(DSN)
    (tmp_path / "mbox").write_text(f"From x Fri Mar 20\n{DSN}\nFrom y Fri Mar 20\n{ARF}\n")
    done = loopwire("mail", "read", tmp_path / "one.eml", tmp_path / "mbox")
    assert done == (0, "3 messages: 5 hits accepted, 0 rejected; 0 messages told nothing\n", "")
    assert len(api.calls) == 1


def test_what_the_api_rejects_is_told_of_its_message(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_text(DSN)
    error = "link: is no tracking link of this account"
    served.answer("POST /v1/hits", Answer(202, {"accepted": 1, "rejected": [{"line": 2, "error": error}]}))
    code, out, err = loopwire("mail", "read", tmp_path / "one.eml", "--json")
    assert (code, err) == (1, f"{tmp_path}/one.eml: {error}\n")
    rejected = [{"message": f"{tmp_path}/one.eml", "why": error}]
    assert json.loads(out) == {"messages": 1, "accepted": 1, "rejected": rejected, "ignored": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}"], "{folder}: is no maildir: it has no new/ and cur/"),
        (["{folder}/none"], "{folder}/none: No such file or directory"),
        (
            ["x", "--verp", "bounce@x"],
            "--verp: must hold {{profile}} and {{mailing}}, may hold {{message}}, and each once",
        ),
        (["x", "--headers", "a,b"], f"--headers: must be three names, as {mail.HEADERS}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(words: list[str], message: str, api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    given_ = [word.format(folder=tmp_path) for word in words]
    assert loopwire("mail", "read", *given_) == (1, "", f"loopwire: {message.format(folder=tmp_path)}\n")
    assert api.calls == []


def test_hits_are_loaded_from_lines(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"type": "bounce", "profile": f"p{n}", "mailing": "m"}) + "\n" for n in range(4001))
    (tmp_path / "hits.ndjson").write_text(lines)
    error = {"line": 1, "error": "mailing: is missing"}
    served.answer("POST /v1/hits", Answer(202, {"accepted": 4000, "rejected": []}),
                  Answer(202, {"accepted": 0, "rejected": [error]}))  # fmt: skip
    code, out, err = loopwire("hits", "load", tmp_path / "hits.ndjson", "--json")
    errors = [{"line": 4001, "error": "mailing: is missing"}]
    assert (code, json.loads(out)) == (1, {"accepted": 4000, "rejected": 1, "errors": errors})
    assert err == "line 4001: mailing: is missing\n"
    assert b"".join(call.body for call in served.calls) == lines.encode()
    served.answer("POST /v1/hits", Answer(202, {"accepted": 4000, "rejected": []}), problem(503, "unavailable", "no"))
    assert loopwire("hits", "load", tmp_path / "hits.ndjson") == (
        1, "", "loopwire: no\n  it stopped behind line 4000: load the rest from there\n",
    )  # fmt: skip
    assert loopwire("hits", "load", tmp_path / "none")[2] == f"loopwire: {tmp_path}/none: No such file or directory\n"
