"""`loopwire accounts domains` and `loopwire privacy`: what an account chose is shown and set."""

import json

import pytest

from tests.cli.conftest import KEY, Loopwire
from tests.cli.running import Answer, Api, problem

NONE = {"account": "shop", "domains": []}
ONE = {"account": "shop", "domains": ["https://t.shop.example"]}
PLAIN = {"obey_signals": False, "unregistered": []}
CHOSEN = {"obey_signals": True, "unregistered": ["a", "b"]}


@pytest.fixture(autouse=True)
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_ADMIN_KEY", "adm_a")


def test_domains_are_shown_and_set_by_the_admin_key(served: Api, loopwire: Loopwire) -> None:
    served.answer("GET /v1/accounts/shop/domains", Answer(200, NONE), Answer(200, ONE))
    served.answer("PUT /v1/accounts/shop/domains", Answer(200, ONE), Answer(200, NONE))
    line = "shop has no domain of its own: its links lead where everybody's do\n"
    assert loopwire("accounts", "domains", "shop") == (0, "", line)
    assert loopwire("accounts", "domains", "shop", "t.shop.example") == (0, "https://t.shop.example\n", "")
    code, out, _ = loopwire("accounts", "domains", "shop", "--json")
    assert (code, json.loads(out)) == (0, ONE)
    assert loopwire("accounts", "domains", "shop", "--none") == (0, "", line)
    sent = [call.json for call in served.calls if call.method == "PUT"]
    assert sent == [{"domains": ["t.shop.example"]}, {"domains": []}]
    assert {call.key for call in served.calls} == {"adm_a"}
    assert loopwire("accounts", "domains", "shop", "a.example", "--none") == (
        1,
        "",
        "loopwire: give domains or --none\n",
    )


def test_a_domain_that_is_taken_is_told(served: Api, loopwire: Loopwire) -> None:
    served.answer(
        "PUT /v1/accounts/shop/domains", problem(409, "taken", "body.domains.0: https://a is another account's")
    )
    assert (
        loopwire("accounts", "domains", "shop", "a")[2] == "loopwire: body.domains.0: https://a is another account's\n"
    )


def test_privacy_is_shown_and_what_is_named_is_changed(served: Api, loopwire: Loopwire) -> None:
    served.answer("GET /v1/privacy", Answer(200, PLAIN), Answer(200, CHOSEN), Answer(200, CHOSEN))
    served.answer("PUT /v1/privacy", Answer(200, CHOSEN), Answer(200, CHOSEN))
    assert loopwire("privacy", "show") == (0, "Sec-GPC and DNT  recorded\nnot registered   none\n", "")
    done = loopwire("privacy", "set", "--unregister", "c", "--register", "a")
    assert done == (0, "Sec-GPC and DNT  obeyed\nnot registered   a, b\n", "")
    code, out, _ = loopwire("privacy", "set", "--ignore-signals", "--json")
    assert (code, json.loads(out)) == (0, CHOSEN)
    sent = [call.json for call in served.calls if call.method == "PUT"]
    assert sent == [
        {"obey_signals": True, "unregistered": ["b", "c"]},
        {"obey_signals": False, "unregistered": ["a", "b"]},
    ]
    assert {call.key for call in served.calls} == {KEY}
