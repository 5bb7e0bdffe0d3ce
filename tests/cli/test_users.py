"""`loopwire accounts users`: by the admin key; a password is made and printed once, or asked for."""

import io
import sys

import pytest

from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api

USER = {"account": "shop", "name": "jane", "role": "editor", "created_at": "2026-03-20T09:00:00Z"}


@pytest.fixture(autouse=True)
def _admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_ADMIN_KEY", "adm_a")


def test_a_user_is_added_and_the_password_that_was_made_is_printed(served: Api, loopwire: Loopwire) -> None:
    served.answer("POST /v1/accounts/shop/users", Answer(201, USER | {"password": "aaaa-bbbb"}))
    assert loopwire("accounts", "users", "add", "shop", "jane", "--role", "editor") == (
        0,
        "user      jane, editor of shop\npassword  aaaa-bbbb  (shown this once: only its hash is kept)\n",
        "",
    )
    assert [(call.key, call.json) for call in served.calls] == [("adm_a", {"name": "jane", "role": "editor"})]


def test_a_password_is_read_from_stdin_and_never_printed(
    served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.answer("POST /v1/accounts/shop/users", Answer(201, USER | {"password": None}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("a password of hers\n"))
    code, out, _ = loopwire("accounts", "users", "add", "shop", "jane", "--role", "editor", "--password")
    assert (code, out) == (0, "user      jane, editor of shop\n")
    assert served.calls[0].json == {"name": "jane", "role": "editor", "password": "a password of hers"}


def test_users_are_listed(served: Api, loopwire: Loopwire) -> None:
    served.answer("GET /v1/accounts/shop/users", Answer(200, [USER]), Answer(200, []))
    code, out, _ = loopwire("accounts", "users", "list", "shop")
    assert (code, [line.split() for line in out.splitlines()]) == (
        0,
        [["user", "role", "created"], ["jane", "editor", "2026-03-20T09:00:00Z"]],
    )
    code, out, err = loopwire("accounts", "users", "list", "shop")
    assert (code, out) == (0, "")
    assert "loopwire accounts users add shop NAME" in err


def test_another_password_and_removal(served: Api, loopwire: Loopwire) -> None:
    served.answer("POST /v1/accounts/shop/users/jane/password", Answer(200, USER | {"password": "cccc-dddd"}))
    served.answer("DELETE /v1/accounts/shop/users/jane", Answer(204))
    assert "cccc-dddd" in loopwire("accounts", "users", "passwd", "shop", "jane")[1]
    assert loopwire("accounts", "users", "remove", "shop", "jane") == (0, "removed jane of shop\n", "")
