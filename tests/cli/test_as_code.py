"""Loops as code: the plan, what is wrong with a file, and a real console that comes to be as the file says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import loops_file
from pipeline.cli.mistakes import Mistake
from pipeline.kafka.memory import Memory
from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api, problem
from tests.cli.test_loops import LOOP
from tests.console.running import TOPICS, running

THERE = LOOP | {"name": "shop", "fields": None, "headers": ["Authorization"], "rate": None, "max_in_flight": None,
                "batch": None, "ordered": False}  # fmt: skip
SAME = """\
- name: shop
  url: https://shop.example/hooks/in.php
  events: [click, open]
  headers: {Authorization: "Bearer ${SHOP_TOKEN}"}
"""
ENVIRONMENT = {"SHOP_TOKEN": "s3cret"}


def planned(text: str, *there: dict[str, Any], update_headers: bool = False) -> list[str]:
    wanted = loops_file.read(text, "l.yaml", ENVIRONMENT)
    return loops_file.drawn(loops_file.plan(wanted, there, update_headers=update_headers), prune=False)


@pytest.mark.parametrize(
    ("text", "update", "lines"),
    [
        (SAME, False, ["= shop  (lp_7h3k)"]),
        (
            SAME,
            True,
            ["~ shop  (lp_7h3k)", "    headers: what they are -> new values of Authorization"],
        ),
        (
            SAME + "  rate: 5\n  filter: {tags: [sale], machine: false}\n  format: json\n",
            False,
            [
                "~ shop  (lp_7h3k)",
                "    format: form -> json",
                "    filter.tags: none -> sale",
                "    filter.machine: yes -> no",
                "    rate: none -> 5",
            ],
        ),
        (SAME.rpartition("  headers")[0], False, ["~ shop  (lp_7h3k)", "    headers: Authorization -> none"]),
        (
            "- {name: new, url: 'https://n.example/in', events: [open], headers: {X-Key: '${SHOP_TOKEN}'}}",
            False,
            [
                "+ new",
                "    url: https://n.example/in",
                "    events: open",
                "    headers: X-Key",
                "? shop  (lp_7h3k)  is not in the file, and stays (--prune removes it)",
            ],
        ),
    ],
)
def test_the_plan_is_a_diff(text: str, update: bool, lines: list[str]) -> None:
    assert planned(text, THERE, update_headers=update) == lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: shop", ["l.yaml: must be a list of loops, each with name, url and events"]),
        ("- a: [", ["l.yaml, line 1: is not YAML: expected the node content, but found '<stream end>'"]),
        ("\0", ["l.yaml: is not YAML: unacceptable character #x0000: special characters are not allowed in "]),
        ("- shop", ["l.yaml: loop 1: must be a mapping with name, url and events"]),
        (
            "- {name: shop, url: 'ftp://x.example/', events: [opened], color: red}",
            ["l.yaml: loop 1 (shop): color: is no name that is known here", "l.yaml: loop 1 (shop): url: ",
             "l.yaml: loop 1 (shop): events.0: "],
        ),
        (SAME.replace("SHOP_TOKEN", "NOWHERE"),
         ["l.yaml: loop 1 (shop): headers.Authorization: NOWHERE is not set in the environment"]),
        (SAME + SAME, ["l.yaml: shop: is there twice: a loop is known by its name"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_file_entry_and_field(text: str, told: list[str]) -> None:
    with pytest.raises(Mistake) as wrong:
        loops_file.read(text, "l.yaml", ENVIRONMENT)
    lines = str(wrong.value).splitlines()
    assert len(lines) == len(told)
    for start in told:
        assert any(line.startswith(start) for line in lines), lines


def test_a_name_that_two_loops_have_is_no_key() -> None:
    with pytest.raises(Mistake, match="there are two loops called shop: lp_7h3k and lp_b"):
        planned(SAME, THERE, THERE | {"id": "lp_b"})


def test_what_was_done_before_a_call_failed_is_shown(served: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    file = tmp_path / "loops.yaml"
    file.write_text("".join(f"- {{name: {name}, url: 'https://{name}.example/', events: [open]}}\n" for name in "ab"))
    served.answer("GET /v1/loops", Answer(200, []))
    served.answer("POST /v1/loops", Answer(201, THERE | {"secret": "whsec_1"}), problem(409, "conflict", "too many"))
    code, out, err = loopwire("loops", "apply", file, "--json")
    assert code == 1
    assert [loop["secret"] for loop in json.loads(out)["created"]] == ["whsec_1"]
    assert err.endswith("loopwire: too many\n")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real console, and the key of an account there."""
    with running(Memory(TOPICS)) as console:
        monkeypatch.setenv("LOOPWIRE_API_URL", console.url)
        monkeypatch.setenv("LOOPWIRE_API_KEY", console.account("shop"))
        yield


@pytest.mark.usefixtures("account")
def test_a_console_comes_to_be_as_the_file_says(
    loopwire: Loopwire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "loops.yaml"
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    file.write_text(
        SAME + "- {name: crm, url: 'https://crm.example/in', events: [update], format: json, rate: 2.5,"
        " max_in_flight: 4, batch: {events: 50}, fields: [city], filter: {exclude_origins: [crm]}}\n"
    )
    code, out, err = loopwire("loops", "apply", file, "--dry-run")
    assert (code, err, json.loads(loopwire("loops", "list", "--json")[1])) == (0, "", [])
    code, out, err = loopwire("loops", "apply", file)
    assert (code, err) == (0, "")
    assert out.count("secret  whsec_") == 2
    assert out.count("place a file") == 2
    assert "s3cret" not in out
    code, out, err = loopwire("loops", "apply", file)
    assert (code, out.splitlines()[-1]) == (0, "nothing to do")

    monkeypatch.setenv("SHOP_AUTHORIZATION", "s3cret")
    exported = tmp_path / "exported.yaml"
    exported.write_text(loopwire("loops", "export")[1])
    assert "Authorization: ${SHOP_AUTHORIZATION}" in exported.read_text()
    assert loopwire("loops", "apply", exported)[1].splitlines()[-1] == "nothing to do"

    file.write_text(SAME.replace("in.php", "new.php"))
    code, out, err = loopwire("loops", "apply", file)
    assert (code, err) == (0, "")
    assert "    url: https://shop.example/hooks/in.php -> https://shop.example/hooks/new.php" in out
    assert "place a file" in out
    code, out, err = loopwire("loops", "apply", file, "--prune", "--yes", "--json")
    done = json.loads(out)
    assert [one["name"] for one in done["removed"]] == ["crm"]
    assert [one["name"] for one in done["unchanged"]] == ["shop"]
    (left,) = json.loads(loopwire("loops", "list", "--json")[1])
    assert (left["name"], left["url"]) == ("shop", "https://shop.example/hooks/new.php")
    file.write_text(SAME.rpartition("  headers")[0].replace("in.php", "new.php"))
    assert loopwire("loops", "apply", file)[0] == 0
    assert json.loads(loopwire("loops", "list", "--json")[1])[0]["headers"] == []
