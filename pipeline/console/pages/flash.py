"""What the next page says once: a sentence, or a secret that is never shown again. It travels in a sealed cookie."""

from typing import Literal

import msgspec

from pipeline.model.sealed import NONCE_BYTES, SealBrokenError, seal, unseal

Tone = Literal["good", "bad"]
SECONDS = 300
RANDOM_BYTES = NONCE_BYTES


class Flash(msgspec.Struct, frozen=True, omit_defaults=True):
    """`secret` is the signing secret of `loop`; it is shown on the loop's own page alone."""

    text: str
    tone: Tone = "good"
    loop: str | None = None
    secret: str | None = None


def closed(flash: Flash, owner: str, key: bytes, random: bytes) -> str:
    """The flash as a cookie's value, readable for its `owner` (a session's nonce) alone; `random` is 12 bytes."""
    return seal(key, owner, msgspec.json.encode(flash).decode(), random)


def opened(cookie: str | None, owner: str, key: bytes) -> Flash | None:
    """The flash of a cookie; None where there is none for this owner."""
    try:
        return msgspec.json.decode(unseal(key, owner, cookie), type=Flash) if cookie else None
    except (SealBrokenError, msgspec.MsgspecError):
        return None
