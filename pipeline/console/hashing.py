"""Passwords are hashed by Argon2id, on two threads of their own: it is slow on purpose."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's least for Argon2id, 19 MiB and two passes: two threads take 40 MB at most, however many sign in at once.
MEMORY_KIB, PASSES, LANES, THREADS = 19 * 1024, 2, 1, 2


class Hasher:
    """Hashes of passwords, in the PHC string format."""

    def __init__(self) -> None:
        self._argon2 = PasswordHasher(PASSES, MEMORY_KIB, LANES)
        self._threads = ThreadPoolExecutor(THREADS, "argon2")
        self._nobodys = self._argon2.hash("")

    async def hash(self, password: str) -> str:
        """The password as it is kept."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._argon2.hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether it is the password; with nothing kept it takes as long, so that nobody learns who is there."""
        right = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._matches, kept or self._nobodys, password
        )
        return right and kept is not None

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _matches(self, kept: str, password: str) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
