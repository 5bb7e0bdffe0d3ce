"""Whatever a name leads to, and whenever that changes: what is ours is never reached. By a real resolver."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "urls.yaml").read_text())
ROOT = Path(__file__).parent.parent.parent
APART = ["unshare", "--map-root-user", "--mount", "--net"]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What came of each call."""
    if not all(shutil.which(one) for one in ("unshare", "ip", "mount")):
        pytest.skip("unshare, ip and mount make the network that this needs")
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a network of their own")
    inside = [*APART, sys.executable, "-m", "tests.hostile.inside"]
    made = subprocess.run(inside, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert made.returncode == 0, made.stderr
    found: dict[str, Any] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("how", ["fetch", "calls"])
@pytest.mark.parametrize("url", CORPUS["allowed"])
def test_what_is_public_is_called(told: dict[str, Any], how: str, url: str) -> None:
    answer = told[f"{how} {url}"]
    assert (answer["status"], answer["error"], len(answer["reached"])) == (200, None, 1)


@pytest.mark.parametrize("how", ["fetch", "calls"])
@pytest.mark.parametrize("url", CORPUS["refused"])
def test_what_is_ours_is_refused_and_never_reached(told: dict[str, Any], how: str, url: str) -> None:
    answer = told[f"{how} {url}"]
    assert (answer["status"], answer["reached"]) == (None, [])
    assert CORPUS["refused"][url] in answer["error"]


def test_a_name_that_was_good_when_it_was_checked_is_refused_once_it_leads_to_us(told: dict[str, Any]) -> None:
    assert told["rebound"] == [200, None, "address 10.0.0.5 is refused: private", ["93.184.215.14"]]


def test_nor_do_kept_names_and_connections_lead_there(told: dict[str, Any]) -> None:
    first, second, later, reached = told["rebound while connections are kept"]
    assert (first, second, reached) in [(200, 200, ["93.184.215.14"]), (200, None, ["93.184.215.14"])]
    assert later == "address 10.0.0.5 is refused: private"


def test_names_that_hang_keep_no_other_waiting_once_that_was_seen(told: dict[str, Any]) -> None:
    """libcurl has 20 threads for names; a server's owner may let each of them wait for theirs."""
    at_first, then = told["beside silence"]
    assert (at_first > 1900, then < 1000) == (True, True), told["beside silence"]
