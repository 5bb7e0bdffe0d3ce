"""The code that customers copy accepts what is really sent, and nothing else: run by each language that is here."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.console import loops, trial
from pipeline.console.forms import LoopForm
from pipeline.console.pages import snippets
from pipeline.console.seals import Seals

PYTHON = """
import json, sys
from verify import verify
secret, headers, body = json.loads(sys.stdin.read())
try:
    verify(secret, headers, body.encode())
    print("true")
except ValueError:
    print("false")
"""
PHP = """<?php
require 'verify.php';
[$secret, $headers, $body] = json_decode(stream_get_contents(STDIN), true);
$server = [];
foreach ($headers as $name => $value) {
    $server['HTTP_' . strtoupper(str_replace('-', '_', $name))] = $value;
}
echo loopwire_verify($secret, $server, $body) ? 'true' : 'false';
"""
NODE = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
const [secret, headers, body] = JSON.parse(readFileSync(0, "utf8"));
console.log(verify(secret, headers, Buffer.from(body)));
"""
GO = """package loopwire

import (
    "encoding/json"
    "fmt"
    "net/http"
    "os"
    "testing"
)

func TestVerify(t *testing.T) {
    var given []json.RawMessage
    var secret, body string
    headers := map[string]string{}
    text, _ := os.ReadFile("given.json")
    for at, into := range []any{&given, &secret, &headers, &body} {
        if at > 0 {
            text = given[at-1]
        }
        if err := json.Unmarshal(text, into); err != nil {
            t.Fatal(err)
        }
    }
    header := http.Header{}
    for name, value := range headers {
        header.Set(name, value)
    }
    fmt.Println(Verify(secret, header, []byte(body)))
}
"""


class Sent(NamedTuple):
    """A signed POST and the secret it was signed with."""

    secret: str
    headers: dict[str, str]
    body: str

    @property
    def told(self) -> str:
        return json.dumps(list(self))


def _sent(at: float) -> Sent:
    """A form body as the trial of a loop sends it."""
    seals = Seals(b"m" * 32, lambda size: b"r" * size)
    form = LoopForm.model_validate({"name": "é", "url": "https://shop.example/in", "events": ["click"]})
    new, now = loops.identity(seals.random), datetime.fromtimestamp(at, UTC)
    post = trial.post(loops.created("acme", form, new, seals, now), seals, now)
    return Sent(new.secret, {name.lower(): value for name, value in post.headers}, post.body.decode())


def _python(folder: Path, told: str) -> str:
    return _run(folder, [sys.executable, "run.py"], "run.py", PYTHON, told)


def _php(folder: Path, told: str) -> str:
    return _run(folder, ["php", "run.php"], "run.php", PHP, told)


def _node(folder: Path, told: str) -> str:
    return _run(folder, ["node", "run.mjs"], "run.mjs", NODE, told)


def _go(folder: Path, told: str) -> str:
    (folder / "given.json").write_text(told)
    made = folder / "verify.test"
    if not made.exists():
        (folder / "go.mod").write_text("module loopwire\n\ngo 1.19\n")
        _done(folder, ["go", "test", "-c", "-o", made.name, "."], "verify_test.go", GO, told)
    return _run(folder, [str(made), "-test.v"], "verify_test.go", GO, told)


def _run(folder: Path, command: list[str], name: str, code: str, told: str) -> str:
    return next(line for line in _done(folder, command, name, code, told).splitlines() if line in {"true", "false"})


def _done(folder: Path, command: list[str], name: str, code: str, told: str) -> str:
    """What a command says that has the code in a file of that name."""
    (folder / name).write_text(code)
    done = subprocess.run(command, cwd=folder, input=told, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


RUNNERS: dict[str, tuple[str, Callable[[Path, str], str]]] = {
    "Python": (sys.executable, _python),
    "PHP": ("php", _php),
    "JavaScript": ("node", _node),
    "Go": ("go", _go),
}


def test_each_language_has_a_runner() -> None:
    assert list(RUNNERS) == [one.language for one in snippets.every()]


@pytest.mark.parametrize("language", RUNNERS)
def test_a_real_post_is_accepted_and_every_other_refused(language: str, tmp_path: Path) -> None:
    program, run = RUNNERS[language]
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} on this machine")
    name = snippets.FILES[language]
    (tmp_path / name).write_text((snippets.FOLDER / name).read_text())
    real, old = _sent(time.time()), _sent(time.time() - 600)
    first = "v1,AAAA"
    both = f"{first} {real.headers['webhook-signature']}"
    cases = {
        "as it was sent": (real, "true"),
        "two secrets sign": (
            real._replace(headers=real.headers | {"webhook-signature": both}),
            "true",
        ),
        "the body was altered": (real._replace(body=real.body.replace("click", "open")), "false"),
        "another id": (real._replace(headers=real.headers | {"webhook-id": "msg_other"}), "false"),
        "another secret": (real._replace(secret="whsec_" + "A" * 43 + "="), "false"),
        "another signature": (real._replace(headers=real.headers | {"webhook-signature": first}), "false"),
        "too old": (old, "false"),
    }
    assert {case: run(tmp_path, sent.told) for case, (sent, _) in cases.items()} == {
        case: expected for case, (_, expected) in cases.items()
    }
