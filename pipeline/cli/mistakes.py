"""What a user can mend is told in a line or a few, never by a traceback."""

from collections.abc import Sequence
from typing import Any


class Mistake(Exception):  # noqa: N818 (it is the user's, no error of ours)
    """The message is what the user reads."""


class Unreachable(Mistake):
    """The API does not answer."""


class Refused(Mistake):
    """A call that the API refused: `status`, and its problem document (RFC 9457) as far as it sent one."""

    def __init__(self, status: int, document: dict[str, Any], lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.status = status
        self.document = document
