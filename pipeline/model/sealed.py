"""What only console and deliver may read is sealed before it goes into a topic: AES-256-GCM under MASTER_KEY."""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class SealBrokenError(ValueError):
    """A sealed text was made with another MASTER_KEY, for another owner, or was altered."""


def seal(master: bytes, owner: str, plain: str, nonce: bytes) -> str:
    """Seals `plain` for `owner` (a loop's id): opened for any other owner, it is refused.

    `nonce` is 12 bytes, random and used once (NIST SP 800-38D).
    """
    box = AESGCM(master).encrypt(nonce, plain.encode(), owner.encode())
    return base64.b64encode(nonce + box).decode()


def unseal(master: bytes, owner: str, sealed: str) -> str:
    """The text that was sealed for `owner`; SealBrokenError where it wasn't."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return AESGCM(master).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
    except (InvalidTag, ValueError) as broken:
        raise SealBrokenError(f"what was sealed for {owner} can't be opened with this LOOPWIRE_MASTER_KEY") from broken
