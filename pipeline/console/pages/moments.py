"""Times as a form has them: `datetime-local` without a zone, which is UTC on every page here."""

import re
from datetime import UTC, datetime

_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


def asked(typed: str) -> str:
    """What was typed, as the API takes it; what is no such time stays as it is, to be refused there."""
    text = typed.strip()
    if not _LOCAL.fullmatch(text):
        return text
    return f"{text}Z" if text.count(":") == 2 else f"{text}:00Z"


def typed(moment: datetime) -> str:
    """A time as a form's field has it, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}"
