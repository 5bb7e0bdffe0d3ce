"""What a user can mend is told in a line, a file's mistakes or a missing proof in a few, never by a traceback."""

from typing import Any


class Mistake(Exception):  # noqa: N818 (it is the user's, no error of ours)
    """The message is what the user reads."""


class Unreachable(Mistake):
    """The API does not answer."""


class Refused(Mistake):
    """A call that the API refused: `status`, and its problem document (RFC 9457) as far as it sent one."""

    def __init__(self, status: int, document: dict[str, Any], told: str) -> None:
        super().__init__(told)
        self.status = status
        self.document = document
