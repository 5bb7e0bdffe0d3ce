"""Our signatures are verified by somebody else's library, and by the specification's own example."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.deliver.body import body_of, names
from pipeline.deliver.signing import live, signature
from pipeline.model.events import Event
from pipeline.model.loops import Format, Secret
from tests.examples import raw

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
OLD = "whsec_" + base64.b64encode(bytes(32)).decode()


def _body(form: Format) -> bytes:
    import msgspec

    return body_of(names(msgspec.json.decode(raw("event.v1", "click"), type=Event)), form)[1]


def _headers(value: str, at: datetime) -> dict[str, str]:
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": value}


def _verifies(secret: str, body: bytes, headers: dict[str, str], form: Format) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=form == "json")
    except WebhookVerificationError:
        return False
    return True


def test_the_example_of_the_specification() -> None:
    assert (
        signature(
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize("form", ["form", "json"])
def test_a_receiver_verifies_what_we_sign(form: Format) -> None:
    body, now = _body(form), datetime.now(UTC).replace(microsecond=0)  # a receiver refuses what is five minutes old
    headers = _headers(signature([SECRET], "msg_1", int(now.timestamp()), body), now)
    assert _verifies(SECRET, body, headers, form)
    assert not _verifies(OLD, body, headers, form)
    assert not _verifies(SECRET, body + b" ", headers, form)
    assert not _verifies(SECRET, body, headers | {"webhook-id": "msg_2"}, form)
    assert not _verifies(SECRET, body, _headers(headers["webhook-signature"], now + timedelta(seconds=1)), form)


def test_while_secrets_rotate_either_verifies() -> None:
    body, now = _body("form"), datetime.now(UTC)
    value = signature([SECRET, OLD], "msg_1", int(now.timestamp()), body)
    assert [entry.partition(",")[0] for entry in value.split(" ")] == ["v1", "v1"]
    assert [_verifies(secret, body, _headers(value, now), "form") for secret in (SECRET, OLD)] == [True, True]


@pytest.mark.parametrize(
    ("expires", "signs"),
    [(None, True), (NOON + timedelta(seconds=1), True), (NOON, False), (NOON - timedelta(days=1), False)],
)
def test_a_secret_signs_until_it_expires(expires: datetime | None, signs: bool) -> None:
    secret = Secret(sealed="x", created=NOON - timedelta(days=2), expires=expires)
    assert live([secret], NOON) == ([secret] if signs else [])
