"""The signature of Standard Webhooks: an entry for each live secret (v1), and for each ed25519 key (v1a) if wanted.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
from binascii import b2a_base64
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.mac import hmac_sha256
from pipeline.model.loops import Secret, SignatureKind, SigningKey

PREFIX = "whsec_"
PUBLIC_PREFIX = "whpk_"


def live(secrets: Iterable[Secret], now: datetime) -> list[Secret]:
    """The secrets that still sign."""
    return [secret for secret in secrets if secret.expires is None or secret.expires > now]


def signing(keys: Iterable[SigningKey], kind: SignatureKind, now: datetime) -> list[SigningKey]:
    """The keys of a kind that sign now."""
    return [
        key
        for key in keys
        if key.kind == kind and (key.starts is None or key.starts <= now) and (key.expires is None or key.expires > now)
    ]


def signature(secrets: Iterable[str], webhook_id: str, timestamp: int, body: bytes, keys: Iterable[str] = ()) -> str:
    """The value of `webhook-signature` over the raw body.

    A secret is `whsec_` and base64 of its bytes, a key base64 of an ed25519 key's 32 bytes.
    """
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    entries = [f"v1,{_mac(secret, signed)}" for secret in secrets]
    return " ".join(entries + [f"v1a,{_signed(key, signed)}" for key in keys])


def _signed(key: str, signed: bytes) -> str:
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(key))
    return base64.b64encode(private.sign(signed)).decode()


def _mac(secret: str, signed: bytes) -> str:
    return b2a_base64(hmac_sha256(_bytes(secret), signed), newline=False).decode()


@lru_cache(10_000)
def _bytes(secret: str) -> bytes:
    """The secret's own, the same at each POST."""
    return base64.b64decode(secret.removeprefix(PREFIX))
