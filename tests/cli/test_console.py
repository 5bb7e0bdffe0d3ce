"""The commands against the real console: what they do is in its topics."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.kafka.memory import Memory
from tests.cli.conftest import Loopwire
from tests.console.running import ADMIN, TOPICS, rows, running, site


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    """The Kafka of a console that the commands find, and whose admin key they know."""
    kafka = Memory(TOPICS)
    with running(kafka) as console:
        monkeypatch.setenv("LOOPWIRE_API_URL", console.url)
        monkeypatch.setenv("LOOPWIRE_ADMIN_KEY", ADMIN)
        yield kafka


def test_an_account_its_mailings_and_a_loop_from_beginning_to_end(
    memory: Memory, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out, _ = loopwire("accounts", "add", "shop", "--json")
    assert code == 0
    assert loopwire("accounts", "add", "shop")[::2] == (1, "loopwire: body.name: shop is an account already\n")
    monkeypatch.setenv("LOOPWIRE_API_KEY", json.loads(out)["api_key"])

    path = tmp_path / "mailings.csv"
    path.write_text("id,name,tags\nm1,Spring,sale|spring\nm2,\x07,\nm3,,\n")
    code, out, err = loopwire("mailings", "load", path)
    assert (code, out[:33]) == (1, "2 mailings accepted, 1 rejected, ")
    assert err.startswith("line 3: body.name: must have a character that can be seen")
    assert {key: msgspec.json.decode(value or b"") for key, value, _ in rows(memory, "tags")} == {
        b"shop/m1": {"mailing": "m1", "account": "shop", "name": "Spring", "tags": ["sale", "spring"]},
        b"shop/m3": {"mailing": "m3", "account": "shop"},
    }

    with site() as customer:
        words = [f"{customer.url}/hooks/in", "--event", "open,click", "--tag", "sale", "--json"]
        loop = json.loads(loopwire("loops", "add", *words)[1])
        code, out, err = loopwire("loops", "verify", loop["id"])
        assert (code, out) == (1, "")
        assert err.splitlines()[:2] == [
            "loopwire: the verification file was not found",
            f"  {loop['verification']['urls'][0]}: answered 404",
        ]
        proof = loop["verification"]
        customer.script = {f"/hooks/{proof['file']}": (200, {}, proof["content"].encode())}
        assert loopwire("loops", "verify", loop["id"]) == (0, f"{loop['id']} is active: {loop['url']}\n", "")
    (listed,) = json.loads(loopwire("loops", "list", "--json")[1])
    assert (listed["state"], listed["name"], listed["filter"]["tags"]) == ("active", "127.0.0.1", ["sale"])
    assert loopwire("loops", "remove", loop["id"], "--yes")[0] == 0
    assert loopwire("loops", "verify", loop["id"]) == (1, "", "loopwire: there is no such loop\n")


def test_all_that_is_wrong_with_a_loop_is_told_in_a_line(
    memory: Memory, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPWIRE_API_KEY", json.loads(loopwire("accounts", "add", "shop", "--json")[1])["api_key"])
    code, out, err = loopwire("loops", "add", "ftp://u:p@shop.example", "--event", "opened", "--rate", "-1")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert [wrong.split(": ")[-2] for wrong in err.split("; ")] == ["body.rate", "body.url", "body.events.0"]


def test_an_admin_key_is_no_account_s(memory: Memory, loopwire: Loopwire) -> None:
    code, out, err = loopwire("loops", "list", "--key", ADMIN)
    assert (code, out) == (1, "")
    assert err.startswith("loopwire: this key is no account's (the key is from --key; ")
