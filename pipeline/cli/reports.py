"""What a message from a mail server says of a mail we sent: complaints (RFC 5965) and delivery reports (RFC 3464).

Each becomes a line for `POST /v1/hits`. Whose mail it was stands in the message that was sent back, or in the address
it came back to; see `whose.py`.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from pipeline.cli.whose import Ways, header, known, payload

Line = dict[str, Any]

FEEDBACK = "message/feedback-report"
STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED = frozenset({"message/rfc822", "message/global"})
RETURNED_HEADERS = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})
# RFC 5965 7.3 and RFC 6650; what is neither is about something else than a reader's wish.
COMPLAINTS = frozenset({"abuse", "fraud", "virus", "other", "miscategorized"})
WAYS_OUT = frozenset({"opt-out", "opt-out-list"})
# RFC 3464 2.3.3. A report that is recognised is a bounce and a failure, as Copernica's loops have it.
ACTIONS = {
    "failed": ("bounce", "failure"),
    "delayed": ("bounce",),
    "delivered": ("delivery",),
    "relayed": ("delivery",),
    "expanded": ("delivery",),
}
CLASSES = {"2": "delivered", "4": "delayed", "5": "failed"}  # RFC 3463 2
SERVERS = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "mdaemon"})
OLDEST = timedelta(days=30)  # a date before is a wrong clock, or an old mailbox
LONGEST = 1000

_CODE = re.compile(r"\b([245]\d\d)\b")
_EXTENDED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")


class NoNewsError(ValueError):
    """A message that tells nothing of a mail we sent; it says why."""


def read(data: bytes, ways: Ways, now: datetime) -> list[Line]:
    """The hits a message tells of; NoNewsError where there are none."""
    message = message_from_bytes(data)
    report = _report(message)
    told = list(_told(message, report))
    if not told:
        raise NoNewsError("the report tells of nothing that happened to a mail")
    mail = known([message, *_returned(report or message)], ways)
    if mail is None:
        raise NoNewsError("nothing in it says whose mail it was")
    at = _date(message, now)
    return [
        {"type": kind, **mail, **({"at": at} if at else {}), "details": {k: v for k, v in details.items() if v}}
        for kind, details in told
    ]


def _report(message: Message) -> Message | None:
    """The part whose own parts are a report: the outermost, since a report may hold another."""
    for part in message.walk():
        if part.get_content_maintype() == "multipart" and any(_is_report(child) for child in _children(part)):
            return part
    return None


def _is_report(part: Message) -> bool:
    return part.get_content_type() == FEEDBACK or part.get_content_type() in STATUS


def _told(message: Message, report: Message | None) -> Iterator[tuple[str, Line]]:
    if report is None:
        yield "bounce", _plain(message)
        return
    for part in _children(report):
        if part.get_content_type() == FEEDBACK:
            yield _complaint(message, part)
        elif part.get_content_type() in STATUS:
            for block in _blocks(part)[1:]:  # the first is about the message, each other about a recipient
                action, details = _delivery(block)
                yield from ((kind, details) for kind in ACTIONS.get(action, ()))


def _complaint(message: Message, part: Message) -> tuple[str, Line]:
    fields = _blocks(part)[0]
    kind = header(fields, "Feedback-Type").lower()
    if kind not in COMPLAINTS | WAYS_OUT:
        raise NoNewsError(f"a feedback report of the type {kind[:40]!r} is no complaint")
    details = {
        "description": kind,
        "emailfrom": parseaddr(header(message, "From"))[1],
        "reporter": header(fields, "User-Agent")[:LONGEST],
        "source_ip": header(fields, "Source-IP")[:LONGEST],
    }
    return ("unsubscribe" if kind in WAYS_OUT else "abuse"), details


def _delivery(block: Message) -> tuple[str, Line]:
    status, said = header(block, "Status"), header(block, "Diagnostic-Code")
    extended = _EXTENDED.search(status) or _EXTENDED.search(said)
    action = header(block, "Action").lower() or CLASSES.get(status[:1], "")
    text = said.partition(";")[2].strip() or said
    code = _CODE.search(_EXTENDED.sub("", text))
    details = {
        "action": action,
        "code": int(code[1]) if code else None,
        "extended": extended[1] if extended else None,
        "description": text[:LONGEST],
        "envelope": _typed(block, "Final-Recipient") or _typed(block, "Original-Recipient"),
        "server": _typed(block, "Remote-MTA"),
    }
    return action, details


def _typed(block: Message, name: str) -> str:
    """The value behind `rfc822;` or `dns;`."""
    return header(block, name).partition(";")[2].strip()[:LONGEST]


def _plain(message: Message) -> Line:
    """A bounce in words: a mail server wrote it, and answers of its readers' machines are none."""
    sender = parseaddr(header(message, "From"))[1].partition("@")[0].lower()
    if sender not in SERVERS and header(message, "Return-Path") != "<>":
        raise NoNewsError("is no report (RFC 5965, RFC 3464), nor from a mail server")
    if header(message, "Auto-Submitted").lower().startswith("auto-replied") and sender not in SERVERS:
        raise NoNewsError("is an automatic answer")
    return {"description": header(message, "Subject")[:LONGEST]}


def _returned(report: Message) -> Iterator[Message]:
    """The mail that came back, or its headers."""
    for part in _children(report):
        kind = part.get_content_type()
        if kind in RETURNED_HEADERS:
            yield message_from_bytes(payload(part))
        elif kind in RETURNED:
            yield from _children(part) or [message_from_bytes(payload(part))]


def _blocks(part: Message) -> list[Message]:
    """The groups of fields in a report's part, at least one."""
    if blocks := _children(part):
        return blocks
    texts = re.split(rb"\r?\n[ \t]*\r?\n", payload(part).strip())
    return [message_from_bytes(text) for text in texts]


def _children(part: Message) -> list[Message]:
    below = part.get_payload()
    return [one for one in below if isinstance(one, Message)] if isinstance(below, list) else []


def _date(message: Message, now: datetime) -> str | None:
    try:
        date = parsedate_to_datetime(header(message, "Date"))
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
        return date.astimezone(UTC).isoformat() if now - OLDEST <= date <= now else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
