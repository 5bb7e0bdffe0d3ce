"""Times as people type them: RFC 3339, a date, `now`, or so long ago."""

from datetime import UTC, datetime

from pipeline.cli.mistakes import Mistake
from pipeline.settings import duration

AGO = " ago"


def moment(text: str, option: str, now: datetime) -> datetime:
    """`2026-03-20T09:00:00Z`, `2026-03-20 09:00` (UTC), `2026-03-20`, `now`, `2h ago`; Mistake where it is none."""
    word = text.strip()
    try:
        if word == "now":
            return now
        if word.endswith(AGO):
            return now - duration(word.removesuffix(AGO))
        time = datetime.fromisoformat(word)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise Mistake(
            f"{option}: {text!r} is no time: write 2026-03-20T09:00:00Z, 2026-03-20 09:00 (UTC), now, or 2h ago"
        ) from wrong
