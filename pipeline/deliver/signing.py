"""The signature of Standard Webhooks, symmetric (v1): one entry for each live secret.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from pipeline.model.loops import Secret

PREFIX = "whsec_"


def live(secrets: Iterable[Secret], now: datetime) -> list[Secret]:
    """The secrets that still sign."""
    return [secret for secret in secrets if secret.expires is None or secret.expires > now]


def signature(secrets: Iterable[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` over the raw body; a secret is `whsec_` and base64 of its bytes."""
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    return " ".join(f"v1,{_mac(secret, signed)}" for secret in secrets)


def _mac(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
