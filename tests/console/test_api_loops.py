"""Loops, by the API: made, shown, changed, removed, and there again after a restart."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.kafka.memory import Memory
from pipeline.model.loops import Loop, LoopState
from pipeline.model.sealed import unseal
from tests.console.running import LOOP, MASTER, TOPICS, Console, rows, running


class Cast(NamedTuple):
    """A console, its Kafka, and the key of an account named acme."""

    console: Console
    memory: Memory
    key: str

    def get(self, loop: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.console.call("GET", f"/v1/loops/{loop}", self.key).json()
        return shown

    def kept(self, loop: str) -> Loop:
        """The loop as the topic has it."""
        values = [value for key, value, _ in rows(self.memory, "loops") if key == loop.encode()]
        return msgspec.json.decode(values[-1] or b"", type=Loop)


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        yield Cast(console, memory, console.account("acme"))


def test_a_new_loop_is_unverified_and_shows_its_secret_once(cast: Cast) -> None:
    before = datetime.now(UTC)
    answer = cast.console.call("POST", "/v1/loops", cast.key, json=LOOP | {"headers": {"Authorization": "Basic abc"}})
    made = answer.json()
    assert answer.status_code == 201
    secret, file = made.pop("secret"), made["verification"]["file"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert re.fullmatch(r"lp_[a-z2-7]{16}", made["id"])
    assert re.fullmatch(r"loopwire-[0-9a-f]{16}\.txt", file)
    assert before <= datetime.fromisoformat(made["created_at"]) <= datetime.now(UTC)
    assert made == {
        "id": made["id"],
        "name": "shop",
        "url": "https://shop.example/hooks/in.php?a=1",
        "events": ["open", "click"],
        "format": "form",
        "filter": {"mailings": [], "tags": [], "machine": True, "exclude_origins": []},
        "fields": None,
        "headers": ["Authorization"],
        "rate": None,
        "max_in_flight": None,
        "batch": None,
        "ordered": False,
        "signatures": [],
        "key_id": None,
        "public_keys": [],
        "state": "unverified",
        "reason": None,
        "verification": {
            "file": file,
            "content": made["verification"]["content"],
            "urls": [f"https://shop.example/hooks/{file}", f"https://shop.example/{file}"],
        },
        "verified_at": None,
        "created_at": made["created_at"],
    }
    assert cast.get(made["id"]) == made
    kept = cast.kept(made["id"])
    assert [unseal(MASTER, kept.id, one.sealed) for one in kept.secrets] == [secret]
    assert all(b"Basic abc" not in (value or b"") for _, value, _ in rows(cast.memory, "loops"))


def test_all_that_a_loop_may_have_is_kept(cast: Cast) -> None:
    chosen = {
        "events": ["bounce", "loop.failing"],
        "format": "json",
        "filter": {"mailings": ["m1"], "tags": ["a"], "machine": False, "exclude_origins": ["crm"]},
        "fields": ["city"],
        "rate": 2.5,
        "max_in_flight": 4,
        "ordered": True,
    }
    made = cast.console.loop(cast.key, **chosen)
    assert {name: made[name] for name in chosen} == chosen


def test_a_batch_has_bounds_of_its_own_and_what_is_left_out_is_ours(cast: Cast) -> None:
    made = cast.console.loop(cast.key, format="json", batch={"events": 10})
    assert made["batch"] == {"events": 10, "bytes": 262_144, "ms": 1000}
    answer = cast.console.call("PATCH", f"/v1/loops/{made['id']}", cast.key, json={"batch": {"ms": 50}})
    assert answer.json()["batch"] == {"events": 100, "bytes": 262_144, "ms": 50}
    answer = cast.console.call("PATCH", f"/v1/loops/{made['id']}", cast.key, json={"batch": None, "format": "form"})
    assert (answer.json()["batch"], answer.json()["format"]) == (None, "form")


@pytest.mark.parametrize(
    ("had", "given", "what"),
    [
        ({}, {"batch": {}}, "goes with format json alone: a form holds one event"),
        ({"format": "json", "batch": {}}, {"format": "form"}, "goes with format json alone: a form holds one event"),
        (
            {"format": "json", "batch": {}},
            {"ordered": True},
            "does not go with ordered: a batch holds events of many profiles, and one that fails would hold back all",
        ),
    ],
)
def test_batches_go_with_json_and_without_order(
    cast: Cast, had: dict[str, Any], given: dict[str, Any], what: str
) -> None:
    made = cast.console.loop(cast.key, **had)
    wrong = [{"where": "body.batch", "what": what}]
    answer = cast.console.call("PATCH", f"/v1/loops/{made['id']}", cast.key, json=given)
    assert (answer.status_code, answer.json()["errors"]) == (422, wrong)
    answer = cast.console.call("POST", "/v1/loops", cast.key, json=LOOP | had | given)
    assert (answer.status_code, answer.json()["errors"]) == (422, wrong)


def test_loops_are_listed_the_oldest_first(cast: Cast) -> None:
    made = [cast.console.loop(cast.key, name=f"loop {number}") for number in range(3)]
    listed = cast.console.call("GET", "/v1/loops", cast.key).json()
    assert listed == [{name: value for name, value in one.items() if name != "secret"} for one in made]


def test_a_caller_reads_its_own_writes(cast: Cast) -> None:
    loop = cast.console.loop(cast.key)["id"]
    for number in range(30):
        answer = cast.console.call("PATCH", f"/v1/loops/{loop}", cast.key, json={"name": f"name {number}"})
        assert answer.json()["name"] == f"name {number}"
        assert cast.get(loop) == answer.json()


def test_a_patch_of_nothing_writes_nothing(cast: Cast) -> None:
    made = cast.console.loop(cast.key)
    before = rows(cast.memory, "loops")
    for body in ({}, {"name": "shop", "url": LOOP["url"]}):
        assert cast.console.call("PATCH", f"/v1/loops/{made['id']}", cast.key, json=body).status_code == 200
    assert rows(cast.memory, "loops") == before


def test_of_changes_at_once_none_is_lost(cast: Cast) -> None:
    loop = cast.console.loop(cast.key)["id"]
    changes: list[dict[str, Any]] = [
        {"name": "new"},
        {"rate": 5.0},
        {"fields": ["city"]},
        {"ordered": True},
        {"max_in_flight": 7},
        {"format": "json"},
    ]
    with ThreadPoolExecutor(len(changes)) as pool:
        answers = pool.map(
            lambda change: cast.console.call("PATCH", f"/v1/loops/{loop}", cast.key, json=change), changes
        )
        assert [answer.status_code for answer in answers] == [200] * len(changes)
    shown = cast.get(loop)
    assert [change for change in changes if shown | change != shown] == []


def test_a_removed_loop_is_gone(cast: Cast) -> None:
    loop = cast.console.loop(cast.key)["id"]
    path = f"/v1/loops/{loop}"
    answers = [cast.console.call(method, path, cast.key) for method in ("DELETE", "DELETE", "GET")]
    assert [answer.status_code for answer in answers] == [204, 404, 404]
    assert rows(cast.memory, "loops")[-1][:2] == (loop.encode(), None)
    assert cast.console.call("GET", "/v1/loops", cast.key).json() == []


def test_after_a_restart_the_same_is_true(cast: Cast) -> None:
    kept, gone = cast.console.loop(cast.key), cast.console.loop(cast.key)
    cast.console.call("PATCH", f"/v1/loops/{kept['id']}", cast.key, json={"name": "new"})
    cast.console.call("DELETE", f"/v1/loops/{gone['id']}", cast.key)
    before = cast.console.call("GET", "/v1/loops", cast.key).json()
    with running(cast.memory) as second:
        assert second.call("GET", "/v1/loops", cast.key).json() == before
        assert second.call("POST", "/v1/accounts", "adm_of_the_tests", json={"name": "acme"}).status_code == 409


def test_what_deliver_found_out_is_shown(cast: Cast) -> None:
    made = cast.console.loop(cast.key)["id"]
    verified = msgspec.structs.replace(cast.kept(made), verified_url=LOOP["url"], epoch=1)
    found = LoopState(loop=made, epoch=1, reason="gone", at=datetime.now(UTC))
    producer = cast.memory.producer()
    producer.produce("loops", msgspec.json.encode(verified), made.encode())
    producer.produce("loop-states", msgspec.json.encode(found), made.encode())
    # Whatever was read before a write of ours is in the picture when that is answered.
    cast.console.loop(cast.key)
    shown = cast.get(made)
    assert (shown["state"], shown["reason"]) == ("disabled", "gone")


def test_the_openapi_says_what_there_is(cast: Cast) -> None:
    document = cast.console.call("GET", "/openapi.json").json()
    create = document["paths"]["/v1/loops"]["post"]
    assert document["openapi"].startswith("3.1")
    assert {"201", "401", "422", "default"} < set(create["responses"])
    assert set(create["responses"]["default"]["content"]) == {"application/problem+json"}
    assert create["security"] == [{"HTTPBearer": []}]


def test_keys_of_more_signatures_are_made_and_shown_by_their_public_halves() -> None:
    with running() as console:
        _keys_are_made(console, console.account("acme"))


def _keys_are_made(console: Console, key: str) -> None:
    refused = console.call("POST", "/v1/loops", key, json=LOOP | {"signatures": ["http"]})
    assert (refused.status_code, refused.json()["errors"][0]["where"]) == (422, "body.key_id")
    loop = console.loop(key, signatures=["v1a", "http"], key_id="a._domainkey.sender.example")
    ed25519, rsa = loop["public_keys"]
    assert (ed25519["kind"], ed25519["public"][:5], ed25519["txt"]) == ("v1a", "whpk_", None)
    assert (rsa["kind"], rsa["name"], rsa["txt"][:17]) == ("http", "a._domainkey.sender.example", "v=DKIM1;k=rsa;p=M")
    path = f"/v1/loops/{loop['id']}"
    same = console.call("PATCH", path, key, json={"name": "other"}).json()
    assert same["public_keys"] == loop["public_keys"]
    console.call("POST", f"{path}/secrets", key)
    assert [one["kind"] for one in console.call("GET", path, key).json()["public_keys"]] == ["http", "v1a", "v1a"]
    for wrong in ("with space.example", "nodot", 'a".example', "a.example;"):
        assert console.call("PATCH", path, key, json={"key_id": wrong}).status_code == 422
    assert console.call("PATCH", path, key, json={"signatures": []}).json()["public_keys"] == []
