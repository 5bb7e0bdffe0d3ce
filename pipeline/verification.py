"""An address is proved by a file: only who owns the server can place it there."""

from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

SECONDS = 5.0
LIMIT = 4096
EXCERPT = 100


class Fetched(Protocol):
    """What came back from one place; `body` may be cut, but not before the byte after LIMIT."""

    @property
    def status(self) -> int | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def error(self) -> str | None: ...


class Look(NamedTuple):
    """One place that was looked at, and what is wrong with what was there (None: nothing)."""

    url: str
    answer: Fetched
    wrong: str | None


def places(url: str, file: str) -> list[str]:
    """Where the file may stand: beside the script, then in the web root; once where they are the same."""
    parts = urlsplit(url)
    beside = parts.path.rpartition("/")[0]
    paths = dict.fromkeys((f"{beside}/{file}", f"/{file}"))
    return [urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in paths]


def judge(answer: Fetched, content: str) -> str | None:
    """Why the answer proves nothing; None where it is the file, white space around it aside."""
    if answer.error is not None:
        return answer.error
    if answer.status is None or answer.status != 200:
        return f"answered {answer.status}{_hint(answer.status)}"
    if len(answer.body) > LIMIT:
        return f"is larger than {LIMIT} bytes"
    if answer.body.strip() != content.encode():
        return "has another content" if answer.body.strip() else "is empty"
    return None


def reason(looks: list[Look]) -> str:
    """All that was found, in one line."""
    return "; ".join(f"{look.url}: {look.wrong}" for look in looks)


def report(look: Look) -> dict[str, Any]:
    """One place for the problem document: `url`, and as known `status`, `error`, and the `body`'s beginning."""
    found = {"url": look.url, "status": look.answer.status, "error": look.wrong}
    if look.answer.status == 200 and look.answer.body:
        found["body"] = look.answer.body[:EXCERPT].decode("utf-8", "replace")
    return {name: value for name, value in found.items() if value is not None}


def _hint(status: int | None) -> str:
    return ", a redirect, which is not followed" if status is not None and 300 <= status < 400 else ""
