"""How a call that went wrong reads, and which key goes where."""

import socket
from pathlib import Path

import pytest

from pipeline.cli import caller
from pipeline.cli.caller import Caller
from pipeline.cli.mistakes import Mistake
from pipeline.settings import read
from tests.cli.conftest import KEY, Loopwire
from tests.cli.running import Answer, Api, problem
from tests.conftest import free_port

ITS_SOURCE = "(the key is from LOOPWIRE_API_KEY; `loopwire accounts add NAME` makes an account)"
HOW = "(`loopwire up` starts everything here; LOOPWIRE_API_URL says where else the API is)"
LIST = ("loops", "list")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (problem(404, "not-found", "there is no such loop"), "there is no such loop"),
        (
            problem(422, "invalid", "body.url: is bad", errors=[{"where": "body.url", "what": "is bad"}]),
            "body.url: is bad",
        ),
        (
            problem(422, "invalid", "body.url: is bad (and 1 more)",
                    errors=[{"where": "body.url", "what": "is bad"}, {"where": "body.name", "what": "is missing"}]),
            "body.url: is bad; body.name: is missing",
        ),
        (
            problem(401, "unauthorized", "this key is no account's"),
            f"this key is no account's {ITS_SOURCE}",
        ),
        (
            Answer(404, b"<html>"),
            "GET <url>/v1/loops was answered 404: is LOOPWIRE_API_URL the address of a Loopwire console?",
        ),
        (
            Answer(200, b"<html>"),
            "GET <url>/v1/loops was not answered by JSON: is LOOPWIRE_API_URL the address of a Loopwire console?",
        ),
        (
            Answer(308, b"", {"location": "https://console.example/"}),
            "<url> answers from https://console.example/: set LOOPWIRE_API_URL to its base",
        ),
        (problem(429, "too-many", "too many calls"), "too many calls"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_line(served: Api, loopwire: Loopwire, answer: Answer, told: str) -> None:
    served.answer("GET /v1/loops", answer)
    assert loopwire(*LIST) == (1, "", f"loopwire: {told.replace('<url>', served.url)}\n")
    assert len(served.calls) == 1


def test_nobody_there_says_where_and_how_to_start(loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("LOOPWIRE_API_URL", url)
    monkeypatch.setenv("LOOPWIRE_API_KEY", KEY)
    assert loopwire(*LIST) == (1, "", f"loopwire: {url} does not answer: Connection refused {HOW}\n")


def test_a_server_that_hangs_up_is_told(loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("LOOPWIRE_API_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("LOOPWIRE_API_KEY", KEY)
        monkeypatch.setattr("pipeline.cli.api.ANSWER_SECONDS", 0.05)
        code, out, err = loopwire(*LIST)
    assert (code, out) == (1, "")
    assert "does not answer: it takes too long" in err


def test_a_netrc_does_not_take_the_key_s_place(
    served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    served.answer("GET /v1/loops", Answer(200, []))
    assert loopwire(*LIST, "--json") == (0, "[]\n", "")
    assert served.calls[0].key == KEY


def test_the_key_of_an_account_s_call() -> None:
    assert caller.account(read(api_key="lw_a"), "") == Caller("http://127.0.0.1:8081", "lw_a", "LOOPWIRE_API_KEY")
    assert caller.account(read(api_key="lw_a", api_url="https://l.example/"), "lw_b") == Caller(
        "https://l.example", "lw_b", "--key"
    )


def test_an_admin_key_is_no_account_s() -> None:
    with pytest.raises(
        Mistake, match=r"^this needs the API key of an account: set LOOPWIRE_API_KEY, or give --key\. `"
    ):
        caller.account(read(), "")
    with pytest.raises(Mistake, match="Only an admin key is at hand, which is no account's"):
        caller.account(read(admin_key="adm_a"), "")


def test_the_key_of_an_admin_call(tmp_path: Path) -> None:
    (tmp_path / "admin_key").write_text("adm_made\n")
    local = "http://127.0.0.1:8081"
    for given, key, source in (
        ({}, "adm_made", str(tmp_path / "admin_key")),
        ({"api_key": "lw_a"}, "adm_made", str(tmp_path / "admin_key")),
        ({"api_key": "lw_a", "admin_key": "set"}, "set", "LOOPWIRE_ADMIN_KEY"),
        ({"api_key": "adm_other", "admin_key": "set"}, "adm_other", "LOOPWIRE_API_KEY"),
    ):
        assert caller.admin(read(data=tmp_path, **given), "") == Caller(local, key, source)
    assert caller.admin(read(data=tmp_path), "mine") == Caller(local, "mine", "--key")


def test_the_local_console_s_admin_key_goes_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "admin_key").write_text("adm_made\n")
    for more in ({"api_url": "https://l.example"}, {"kafka": "k:9092"}):
        with pytest.raises(Mistake, match="this needs the admin key: set LOOPWIRE_ADMIN_KEY"):
            caller.admin(read(data=tmp_path, **more), "")
    assert [path.name for path in tmp_path.iterdir()] == ["admin_key"]


def test_asking_for_a_key_makes_none(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="the first `loopwire up` makes one"):
        caller.admin(read(data=tmp_path / "none"), "")
    assert not (tmp_path / "none").exists()


def test_a_key_no_header_can_hold_is_told() -> None:
    with pytest.raises(Mistake, match="--key: the key has a character that no key has"):
        caller.account(read(), "lw_é")
