"""HMAC-SHA256 under keys that come again and again: tokens' and deliveries'."""

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


def hmac_sha256(key: bytes, said: bytes) -> bytes:
    """32 bytes: the HMAC-SHA256 (RFC 2104) of what was said."""
    made = _keyed(key).copy()
    made.update(said)
    return made.finalize()


@lru_cache(maxsize=10_000)
def _keyed(key: bytes) -> HMAC:
    """To be copied for each: hmac.digest looks its algorithm up anew each time, which is half of its work."""
    return HMAC(key, SHA256())
