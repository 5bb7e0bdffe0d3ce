"""`loopwire accounts`: added by the API, listed from the topic, and the key a sender signs links with."""

import base64
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pipeline import topics
from pipeline.capture.tokens import Link, read, sign
from pipeline.kafka.client import Cluster
from pipeline.model.accounts import Account, ApiKey
from pipeline.settings import Settings
from tests.cli.conftest import Loopwire
from tests.cli.running import Answer, Api, problem
from tests.conftest import free_port

ADVICE = "set what capture and console have, or LOOPWIRE_DATA"
MASTER = secrets.token_bytes(32)
TOKEN_KEYS = f"k2:{base64.b64encode(MASTER).decode()},k1:{base64.b64encode(b'o' * 32).decode()}"


def test_an_account_is_added_by_the_admin_key(served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_ADMIN_KEY", "adm_a")
    served.answer("POST /v1/accounts", *[Answer(201, {"account": "shop", "api_key": "lw_new"})] * 2)
    assert loopwire("accounts", "add", "shop") == (
        0,
        "account  shop\nAPI key  lw_new  (shown this once: keep it, in LOOPWIRE_API_KEY for instance)\n",
        "",
    )
    code, out, _ = loopwire("accounts", "add", "shop", "--json", "--key", "adm_b")
    assert (code, json.loads(out)) == (0, {"account": "shop", "api_key": "lw_new"})
    assert [(call.key, call.json) for call in served.calls] == [
        ("adm_a", {"name": "shop"}), ("adm_b", {"name": "shop"}),
    ]  # fmt: skip


def test_a_name_that_is_taken_is_told(served: Api, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_ADMIN_KEY", "adm_a")
    wrong = [{"where": "body.name", "what": "shop is an account already"}]
    served.answer("POST /v1/accounts", problem(409, "taken", "body.name: shop is an account already", errors=wrong))
    assert loopwire("accounts", "add", "shop") == (1, "", "loopwire: body.name: shop is an account already\n")


def test_with_an_account_s_key_alone_the_admin_key_is_asked_for(served: Api, loopwire: Loopwire) -> None:
    code, out, err = loopwire("accounts", "add", "shop")
    assert (code, out, served.calls) == (1, "", [])
    assert err.startswith("loopwire: this needs the admin key: set LOOPWIRE_ADMIN_KEY, or give --key. ")
    assert len(err.splitlines()) == 1


@pytest.fixture
def shop_alone(cluster_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kafka that knows of one account."""
    monkeypatch.setenv("LOOPWIRE_KAFKA", cluster_settings.kafka)
    monkeypatch.setenv("LOOPWIRE_TOPIC_PREFIX", cluster_settings.topic_prefix)
    kafka = Cluster(cluster_settings)
    producer = kafka.producer()
    row = Account(account="shop", keys=[], created=datetime(2026, 3, 20, tzinfo=UTC))
    producer.produce(kafka.full(topics.ACCOUNTS), msgspec.json.encode(row), b"shop")
    assert producer.flush(30) == 0


@pytest.mark.usefixtures("shop_alone")
def test_the_key_of_a_sender_signs_what_capture_reads(loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_TOKEN_KEYS", TOKEN_KEYS)
    code, out, err = loopwire("accounts", "key", "shop")
    assert (code, err) == (0, "")
    kid, _, key = out.strip().partition(":")
    link = Link("shop", "jane", "spring", None)
    assert read(sign(link, "open", kid, base64.b64decode(key)), {"k2": MASTER}, "open") == link
    code, out, _ = loopwire("accounts", "key", "shop", "--json")
    assert (code, json.loads(out)) == (0, {"account": "shop", "kid": kid, "key": key})


def test_a_key_made_before_is_taken_and_none_is_made(
    loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tmp_path / "here"
    monkeypatch.setenv("LOOPWIRE_DATA", str(data))
    assert loopwire("accounts", "key", "shop") == (
        1,
        "",
        f"loopwire: LOOPWIRE_TOKEN_KEYS: is not set, and there is no {data}/token_keys: {ADVICE}\n",
    )
    assert not data.exists()
    data.mkdir()
    (data / "token_keys").write_text(TOKEN_KEYS + "\n")
    shop = Account(account="shop", keys=[], created=datetime(2026, 3, 20, tzinfo=UTC))
    monkeypatch.setattr("pipeline.cli.accounts._known", lambda _settings: [shop])
    assert loopwire("accounts", "key", "shop")[1].startswith("k2:")
    (data / "token_keys").write_text("nonsense\n")
    code, _, err = loopwire("accounts", "key", "shop")
    assert code == 1
    assert err.startswith(f"loopwire: {data}/token_keys: must be kid:base64,... with a kid of ")


@pytest.mark.usefixtures("shop_alone")
def test_a_name_that_is_no_account_has_no_key(loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWIRE_TOKEN_KEYS", TOKEN_KEYS)
    assert loopwire("accounts", "key", "shpo") == (
        1, "", "loopwire: there is no account shpo: `loopwire accounts list` shows those there are\n",
    )  # fmt: skip


def test_a_name_that_is_none_has_no_key(loopwire: Loopwire) -> None:
    assert loopwire("accounts", "key", "Shop!") == (
        1, "", "loopwire: an account's name is 1 to 40 of a-z, 0-9 and -\n",
    )  # fmt: skip


def test_accounts_are_listed_as_the_topic_has_them(
    cluster_settings: Settings, loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPWIRE_KAFKA", cluster_settings.kafka)
    monkeypatch.setenv("LOOPWIRE_TOPIC_PREFIX", cluster_settings.topic_prefix)
    assert loopwire("accounts", "list") == (
        0, "", "there are no accounts yet: `loopwire accounts add NAME` makes one\n",
    )  # fmt: skip
    moment = datetime(2026, 3, 20, 9, 15, tzinfo=UTC)
    key = ApiKey(hash="00", created=moment)
    rows = [(name, msgspec.json.encode(Account(account=name, keys=[key], created=moment))) for name in ("shop", "acme")]
    kafka = Cluster(cluster_settings)
    producer = kafka.producer()
    for name, value in [*rows, ("gone", rows[0][1]), ("gone", None), ("odd", b"{")]:
        producer.produce(kafka.full(topics.ACCOUNTS), value, name.encode())
    assert producer.flush(30) == 0
    code, out, err = loopwire("accounts", "list")
    assert (code, [line.split() for line in out.splitlines()]) == (
        0,
        [["account", "created", "keys"], ["acme", "2026-03-20T09:15:00Z", "1"], ["shop", "2026-03-20T09:15:00Z", "1"]],
    )
    assert err.startswith("accounts: the record of b'odd' can't be read: ")
    assert [one["account"] for one in json.loads(loopwire("accounts", "list", "--json")[1])] == ["acme", "shop"]


def test_no_broker_is_one_line(loopwire: Loopwire, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("LOOPWIRE_KAFKA", address)
    monkeypatch.setattr("pipeline.kafka.asking.METADATA_SECONDS", (0.5,))
    code, out, err = loopwire("accounts", "list")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"loopwire: kafka at {address}: ")
