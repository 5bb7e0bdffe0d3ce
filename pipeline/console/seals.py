"""What only console and deliver may read is sealed here, with randomness from outside."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.model.sealed import NONCE_BYTES, seal, unseal

Random = Callable[[int], bytes]


class Seals(NamedTuple):
    """Seals what only console and deliver may read, each text with a nonce of its own."""

    master: bytes
    random: Random

    def close(self, loop: str, plain: str) -> str:
        """`plain`, sealed for the loop."""
        return seal(self.master, loop, plain, self.random(NONCE_BYTES))

    def open(self, loop: str, sealed: str) -> str:
        """What was sealed for the loop; SealBroken where it wasn't."""
        return unseal(self.master, loop, sealed)
