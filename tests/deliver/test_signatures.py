"""Each kind of signature, verified by somebody else's code on what really came over the wire."""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from standardwebhooks import Webhook

from pipeline.calls import Calls
from pipeline.console import loops
from pipeline.console.forms import LoopForm, LoopPatch
from pipeline.console.problems import Problem
from pipeline.console.seals import Seals
from pipeline.deliver.http_signing import host
from pipeline.deliver.stage import signed
from pipeline.model.deliveries import Delivery
from pipeline.model.events import Event
from pipeline.model.loops import Loop
from pipeline.outbound import Answer, Guard, Request
from tests.examples import raw
from tests.test_outbound import OK, Server, _says

NAME = "loopwire._domainkey.sender.example"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SEALS = Seals(b"m" * 32, lambda size: hashlib.shake_256(str(size).encode()).digest(size))
EVENT = raw("event.v1", "click")


class Sent(NamedTuple):
    """A request as a server got it; names of headers are lower-case."""

    line: str
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(_says(OK))
    yield made
    made.close()


def _loop(url: str, now: datetime | None = None, **more: Any) -> Loop:
    form = LoopForm.model_validate({"name": "shop", "url": url, "events": ["click"]} | more)
    new = loops.Identity("lp_a", "f", "c", SECRET)
    at = now or datetime.now(UTC)
    return loops.keyed(loops.created("shop", form, new, SEALS, at), SEALS, at)


def _send(server: Server, loop: Loop, attempts: int = 0, at: datetime | None = None) -> Sent:
    """What the server gets of a delivery to the loop."""
    delivery = Delivery(id="msg_1", loop=loop.id, account="shop", event=msgspec.Raw(EVENT), attempts=attempts)
    now = (at or datetime.now(UTC)).timestamp()
    post = signed(delivery, [msgspec.json.decode(EVENT, type=Event)], loop, now, SEALS.open)

    async def call() -> Answer:
        calls = Calls(Guard((ip_network("127.0.0.0/8"),)))
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        calls.start(Request(loop.url, post.body, post.headers), answered.set_result)
        answer = await answered
        calls.close()
        return answer

    assert asyncio.run(call()).status == 200
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    names = [one.partition(": ")[0].lower() for one in lines]
    assert len(names) == len(set(names))
    return Sent(line, {name: one.partition(": ")[2] for name, one in zip(names, lines, strict=True)}, body)


@pytest.mark.parametrize("form", ["form", "json"])
@pytest.mark.parametrize("kinds", [[], ["v1a"]])
def test_both_libraries_verify_it_also_beside_a_v1a(server: Server, form: str, kinds: list[str]) -> None:
    sent = _send(server, _loop(server.url(), format=form, signatures=kinds))
    assert [one.partition(",")[0] for one in sent.headers["webhook-signature"].split(" ")] == ["v1", *kinds]
    Webhook(SECRET).verify(sent.body, sent.headers, json_parse=False)
    svix = pytest.importorskip("svix", reason="svix is in the dev extra")
    names = {name.replace("webhook-", "svix-"): value for name, value in sent.headers.items()}
    svix.Webhook(SECRET).verify(sent.body, names if form == "json" else sent.headers)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(SECRET).verify(sent.body + b" ", sent.headers)


JAVASCRIPT = """
const { Webhook } = require("standardwebhooks");
const { secret, body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
new Webhook(secret).verify(body, headers);
try { new Webhook(secret).verify(body + " ", headers); process.exit(2); } catch (wrong) { console.log("verified"); }
"""


def test_javascript_s_library_verifies_it(server: Server, tmp_path: Path) -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node is not there")
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "standardwebhooks@1"]
    try:
        if subprocess.run(words, capture_output=True, timeout=60, check=False).returncode:
            pytest.skip("npm can't install standardwebhooks here")
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not install standardwebhooks in time here")
    sent = _send(server, _loop(server.url(), format="json", signatures=["v1a"]))
    told = json.dumps({"secret": SECRET, "body": sent.body.decode(), "headers": sent.headers})
    made = subprocess.run(
        ["node", "-e", JAVASCRIPT], cwd=tmp_path, input=told, capture_output=True, text=True, check=False, timeout=60
    )
    assert (made.stdout, made.returncode) == ("verified\n", 0), made.stderr


def test_a_v1a_is_verified_by_the_public_key_alone(server: Server) -> None:
    loop = _loop(server.url(), signatures=["v1a"])
    [key] = loops.shown(loop, None).public_keys
    assert key.public.startswith("whpk_")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public.removeprefix("whpk_")))
    sent = _send(server, loop)
    [entry] = re.findall(r"v1a,(\S+)", sent.headers["webhook-signature"])
    content = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    public.verify(base64.b64decode(entry), content)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(entry), content + b" ")


def _record(text: str) -> RSAPublicKey:
    """The key of a TXT record, read as Copernica's library reads one: split at `;`, not trimmed."""
    parts = dict(part.split("=", 1) for part in text.split(";"))
    assert (parts["v"], parts["k"]) == ("DKIM1", "rsa")
    key = load_der_public_key(base64.b64decode(parts["p"] + "=" * (-len(parts["p"]) % 4)))
    assert isinstance(key, RSAPublicKey)
    return key


def _verify(sent: Sent, txt: str) -> list[str]:
    """Verified as draft-cavage says, from nothing but what came and the record; the names that are signed."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', sent.headers["signature"]))
    assert given["algorithm"] == "rsa-sha256"
    method, target, _ = sent.line.split(" ")
    names: list[str] = given["headers"].split(" ")
    values = {**sent.headers, "(request-target)": f"{method.lower()} {target}"}
    text = "\n".join(f"{name}: {values[name]}" for name in names)
    _record(txt).verify(base64.b64decode(given["signature"]), text.encode(), PKCS1v15(), SHA256())
    assert sent.headers["digest"] == "sha-256=" + base64.b64encode(hashlib.sha256(sent.body).digest()).decode()
    return names


@pytest.mark.parametrize(
    "path",
    ["/in", "/hooks/in.php?a=1&b=%20x", "", "/?q", "?q=1", "/a/../b/./c", "/a//b/", "/in?", "?", "/in??",
     "/caf%c3%a9/a%2fB%2F?d=%2f", "/%7e"],
)  # fmt: skip
def test_an_http_signature_is_verified_as_the_draft_says(server: Server, path: str) -> None:
    loop = _loop(server.url(path), signatures=["http"], key_id=NAME, headers={"Date": "never", "X-Own": "a"})
    [key] = loops.shown(loop, None).public_keys
    assert key.txt is not None
    assert not re.search(r"; |=$", key.txt)
    sent = _send(server, loop)
    names = _verify(sent, key.txt)
    assert names == [name.lower() for name in names]
    assert {"(request-target)", "host", "date", "content-length", "content-type", "digest", "x-nonce"} <= set(names)
    assert f'keyId="{NAME}",' in sent.headers["signature"]
    assert abs(parsedate_to_datetime(sent.headers["date"]) - datetime.now(UTC)) < timedelta(seconds=60)
    Webhook(SECRET).verify(sent.body, sent.headers, json_parse=False)


def test_each_attempt_is_signed_afresh(server: Server) -> None:
    loop, now = _loop(server.url(), signatures=["http"], key_id=NAME), datetime.now(UTC)
    txt = loops.shown(loop, None).public_keys[0].txt or ""
    sent = [_send(server, loop, attempts, now + timedelta(seconds=attempts)) for attempts in range(3)]
    for one in sent:
        _verify(one, txt)
    for name in ("date", "x-nonce", "signature"):
        assert len({one.headers[name] for one in sent}) == 3
    with pytest.raises(InvalidSignature):
        _verify(sent[0]._replace(headers=sent[0].headers | {"x-nonce": sent[1].headers["x-nonce"]}), txt)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example/in", "shop.example"),
        ("https://shop.example:443/in", "shop.example"),
        ("http://shop.example:443/in", "shop.example:443"),
        ("http://shop.example:80", "shop.example"),
        ("https://[2001:db8::1]:8443/in", "[2001:db8::1]:8443"),
        ("https://[2001:db8::1]:443/in", "[2001:db8::1]"),
        ("https://shop.example:/in", "shop.example"),
    ],
)
def test_the_host_is_what_a_client_says(url: str, expected: str) -> None:
    assert host(url) == expected


def test_private_halves_are_sealed_and_never_shown() -> None:
    loop = _loop("https://shop.example/in", signatures=["v1a", "http"], key_id=NAME)
    opened = [SEALS.open(loop.id, key.sealed) for key in loop.keys]
    row, shown = loops.row(loop).value or b"", loops.shown(loop, None).model_dump_json()
    for private in opened:
        assert private.encode() not in row
        assert private not in shown
        assert private[40:80] not in shown
    assert b"PRIVATE" not in row


def test_while_secrets_rotate_both_ed25519_keys_sign(server: Server) -> None:
    now = datetime.now(UTC)
    old = _loop(server.url(), now, signatures=["v1a"])
    other = Seals(SEALS.master, lambda size: bytes(range(100, 100 + size)))
    new = loops.rotated(old, "whsec_" + base64.b64encode(bytes(32)).decode(), other, now)
    assert len({key.public for key in new.keys}) == 2
    assert [one.partition(",")[0] for one in _send(server, new).headers["webhook-signature"].split(" ")] == [
        "v1",
        "v1",
        "v1a",
        "v1a",
    ]
    later = _send(server, new, at=now + timedelta(hours=25)).headers["webhook-signature"]
    assert [one.partition(",")[0] for one in later.split(" ")] == ["v1", "v1a"]


def test_an_rsa_key_of_another_name_signs_after_a_day_so_that_it_can_be_published(server: Server) -> None:
    now = datetime.now(UTC)
    old = _loop(server.url(), now, signatures=["http"], key_id="a.sender.example")
    form = LoopPatch.model_validate({"key_id": "b.sender.example"})
    new = loops.keyed(loops.patched(old, form, SEALS), SEALS, now)
    shown = {key.name: key for key in loops.shown(new, None).public_keys}
    assert set(shown) == {"a.sender.example", "b.sender.example"}
    for hours, name in ((0, "a.sender.example"), (23, "a.sender.example"), (25, "b.sender.example")):
        sent = _send(server, new, at=now + timedelta(hours=hours))
        assert f'keyId="{name}"' in sent.headers["signature"]
        _verify(sent, shown[name].txt or "")
    back = loops.keyed(loops.patched(new, LoopPatch.model_validate({"key_id": "a.sender.example"}), SEALS), SEALS, now)
    assert [key.public for key in back.keys] == [old.keys[0].public]
    assert back.keys[0].expires is None


def test_what_is_turned_off_has_no_key_and_http_needs_a_name() -> None:
    loop = _loop("https://shop.example/in", signatures=["v1a", "http"], key_id=NAME)
    off = loops.keyed(loops.patched(loop, LoopPatch.model_validate({"signatures": []}), SEALS), SEALS, loop.created_at)
    assert off.keys == []
    with pytest.raises(Problem, match=r"key_id: must be a DNS name"):
        _loop("https://shop.example/in", signatures=["http"])
