"""Users of an account, by the API: added, listed, given another password, removed; only a hash of it is kept."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from pipeline.kafka.memory import Memory
from pipeline.model.accounts import Account
from tests.console.running import ADMIN, TOPICS, Console, rows, running


class Cast(NamedTuple):
    """A console with an account acme, and its Kafka."""

    console: Console
    memory: Memory

    def call(self, method: str, path: str = "", **body: Any) -> requests.Response:
        return self.console.call(method, f"/v1/accounts/acme/users{path}", ADMIN, **({"json": body} if body else {}))

    def kept(self) -> Account:
        return msgspec.json.decode(rows(self.memory, "accounts")[-1][1] or b"", type=Account)


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        console.account("acme")
        yield Cast(console, memory)


def test_a_password_is_made_where_none_is_given_and_only_its_hash_is_kept(cast: Cast) -> None:
    answer = cast.call("POST", name="jane", role="editor")
    made = answer.json()
    assert answer.status_code == 201
    assert re.fullmatch(r"([a-z2-7]{4}-){5}[a-z2-7]{4}", made["password"])
    assert made == {"account": "acme", "name": "jane", "role": "editor"} | {
        name: made[name] for name in ("created_at", "password")
    }
    assert cast.kept().users[0].password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    given = cast.call("POST", name="joe", role="viewer", password="a password of joe's")
    assert given.json()["password"] is None
    assert all(
        secret not in (value or b"")
        for _, value, _ in rows(cast.memory, "accounts")
        for secret in (made["password"].encode(), b"a password of joe's")
    )


def test_users_are_listed_by_name_without_what_they_sign_in_with(cast: Cast) -> None:
    made = [cast.call("POST", name=name, role="viewer").json() for name in ("b", "a")]
    for one in made:
        del one["password"]
    assert cast.call("GET").json() == [made[1], made[0]]


def test_a_name_is_taken_once_and_free_again_after_removal(cast: Cast) -> None:
    assert [cast.call("POST", name="jane", role="viewer").status_code for _ in range(2)] == [201, 409]
    assert [cast.call("DELETE", "/jane").status_code for _ in range(2)] == [204, 404]
    assert cast.call("POST", name="jane", role="editor").status_code == 201


def test_another_password_is_another_hash_and_the_role_stays(cast: Cast) -> None:
    cast.call("POST", name="jane", role="editor")
    before = cast.kept().users[0]
    answer = cast.console.call("POST", "/v1/accounts/acme/users/jane/password", ADMIN, json={})
    assert answer.status_code == 200
    assert re.fullmatch(r"[a-z2-7-]{29}", answer.json()["password"])
    after = cast.kept().users[0]
    assert (after.name, after.role, after.created) == (before.name, before.role, before.created)
    assert after.password != before.password


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": "jane"}, "body.role"),
        ({"name": "jane", "role": "owner"}, "body.role"),
        ({"name": "a b", "role": "editor"}, "body.name"),
        ({"name": "jane", "role": "editor", "password": "short"}, "body.password"),
    ],
)
def test_what_is_wrong_is_named(cast: Cast, body: dict[str, str], where: str) -> None:
    answer = cast.call("POST", **body)
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, where)


def test_an_account_that_is_none_has_no_users(cast: Cast) -> None:
    answer = cast.console.call("GET", "/v1/accounts/other/users", ADMIN)
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no such account")


def test_an_account_s_own_key_manages_nobody(cast: Cast) -> None:
    key = cast.console.account("second")
    assert cast.console.call("GET", "/v1/accounts/second/users", key).status_code == 401
