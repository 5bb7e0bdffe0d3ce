"""What becomes of a delivery: a request now, or a record that waits, or a dead letter; then what its answer means."""

import logging
from collections.abc import Callable, Sequence
from zlib import crc32

import msgspec

from pipeline import topics
from pipeline.deliver.batches import carried, checked, halves, recorded, singles
from pipeline.deliver.body import array_of, body_of, names
from pipeline.deliver.failing import Failures, disabled
from pipeline.deliver.http_signing import http_signature
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.signing import live, signature, signing
from pipeline.deliver.verdict import TOO_LARGE, Again, Dead, Reply, Verdict, verdict, well
from pipeline.model.deliveries import Attempt, Delivery, Failed, Outcome, Timings
from pipeline.model.events import Event
from pipeline.model.ids import utc
from pipeline.model.loops import Loop
from pipeline.model.sealed import SealBrokenError
from pipeline.model.standing import Standing
from pipeline.record import LONGEST_REASON, Message, Record, dead

log = logging.getLogger(__name__)

KEPT_RESPONSE = 1024  # characters of an answer's body that an attempt keeps
Unseal = Callable[[str, str], str]  # loop, sealed -> plain

_delivery = msgspec.json.Decoder(Delivery)
_event = msgspec.json.Decoder(Event)
_headers = msgspec.json.Decoder(dict[str, str])
_json = msgspec.json.Encoder()


class Post(msgspec.Struct, frozen=True):
    """A delivery ready to be sent, and the events it tells."""

    delivery: Delivery
    events: Sequence[Event]
    loop: Loop
    at: float
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Sent(msgspec.Struct, frozen=True):
    """What came back of a POST."""

    reply: Reply
    body: bytes
    timings: Timings


def read(message: Message, source: str) -> Delivery | Record:
    """The delivery a record holds, or the dead letter that says why it holds none. `source` is the bare topic."""
    try:
        return checked(_delivery.decode(message.value() or b""))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        why = "is null, which no delivery is" if message.value() is None else wrong
        letter = dead(topics.DELIVERIES_DEAD, source, message, f"value: {why}")
        # The topic is compacted: a key of its own, and a value, or the next one would take its place.
        key = f"{(message.key() or b'').decode(errors='replace')}/{source}-{message.partition()}-{message.offset()}"
        return letter._replace(key=key.encode(), value=letter.value or b"null")


def is_past(what: Delivery | Record, source: str) -> bool:
    """Whether it is of a replay, or was missed and is sent later; `source` is the bare topic it was read from."""
    if isinstance(what, Record):
        return False
    return topics.REPLAYS in {source, what.source} or what.replay is not None


def prepared(delivery: Delivery, standing: Standing | None, now: float, unseal: Unseal) -> Post | Dead | str:
    """The POST of a delivery; Dead where there is no loop; else the word why it has to wait: its loop's state.

    Only an active loop is sent to, and a loop is active only while its `url` is the verified one.
    """
    if standing is None or standing.state != "active":
        return unsent(standing)
    try:
        return signed(delivery, [_event.decode(one) for one in delivery.events], standing.loop, now, unseal)
    except SealBrokenError as wrong:  # the operator's to mend: what is sealed is not lost
        log.error("deliver: %s", wrong)  # noqa: TRY400 (the line says it all)
        return "sealed"
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as wrong:
        return Dead(f"the event can't be read: {wrong}")


def unsent(standing: Standing | None) -> Dead | str:
    """Why nothing is sent to a loop that is not active: the word for its state, or that it was removed."""
    return Dead("the loop was removed") if standing is None else standing.reason or standing.state


def signed(delivery: Delivery, events: Sequence[Event], loop: Loop, now: float, unseal: Unseal) -> Post:
    """The POST of a delivery, whatever the loop's state; SealBrokenError where a secret or header can't be opened.

    To a loop that wants batches each is an array, if of one; and one that holds more than one is whatever it wants now.
    """
    told = [names(event, loop.fields) for event in events]
    kind, body = array_of(told) if delivery.more or loop.batching else body_of(told[0], loop.format)
    at = utc(now)
    secrets = [unseal(loop.id, secret.sealed) for secret in live(loop.secrets, at)]
    keys = [unseal(loop.id, key.sealed) for key in signing(loop.keys, "v1a", at)] if loop.keys else []
    headers = {
        "Content-Type": kind,
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature(secrets, delivery.id, int(now), body, keys),
        "loopwire-attempt": str(delivery.attempts + 1),
        "loopwire-loop": loop.id,
    }
    if delivery.replay is not None:
        headers["loopwire-replay"] = delivery.replay
    for key in signing(loop.keys, "http", at)[:1] if loop.keys else ():
        named = key.name or "", unseal(loop.id, key.sealed)
        headers |= http_signature(loop.url, headers, body, named, at)
    if loop.headers:
        ours, own = {name.lower() for name in headers}, _headers.decode(unseal(loop.id, loop.headers))
        headers = {name: value for name, value in own.items() if name.lower() not in ours} | headers
    return Post(delivery, events, loop, now, body, tuple(headers.items()))


def judged(post: Post, sent: Sent, ladder: Ladder, failures: Failures, now: float) -> list[Record]:
    """What an answer leads to: the attempt's record, and what carries the delivery or its loop on."""
    if sent.reply.status == TOO_LARGE and sent.reply.error is None and post.delivery.more:
        split = Again(now, f"answered {TOO_LARGE}: sent again in two halves")
        return [_attempt(post, sent, split), *(recorded(half) for half in halves(post.delivery))]
    attempts = post.delivery.attempts + 1
    luck = 0.0 if well(sent.reply) else _luck(post.delivery.id, attempts)
    found = verdict(sent.reply, attempts, ladder, now, luck)
    records = [_attempt(post, sent, found)]
    if isinstance(found, Again):
        records.append(_retry(_failed(post, sent, found.error), found.due, ladder, now))
    elif isinstance(found, Dead):
        said = sent.reply.error or f"answered {sent.reply.status}"  # what happened; that it was the last is the reason
        records += letters(_failed(post, sent, said), found.error)
    return records + _found_out(post.loop, found, failures, now)


def outcome_of(records: list[Record]) -> Outcome:
    """What an attempt came to, by the records it led to: its own, and the one that carries its delivery on."""
    topic = records[1].topic if len(records) > 1 else None
    if topic == topics.DELIVERIES_DEAD:
        return "dead"
    again = topic is not None and (topic == topics.BATCHES or topic.startswith(topics.DELIVERIES_RETRY))
    return "again" if again else "delivered"


def waits_until(records: list[Record]) -> float | None:
    """Until when the delivery waits that is in one of the records, in a retry topic; None where there is none."""
    for record in records:
        if record.topic.startswith(topics.DELIVERIES_RETRY):
            return _delivery.decode(record.value or b"").due
    return None


def _found_out(loop: Loop, found: Verdict, failures: Failures, now: float) -> list[Record]:
    """What an answer says of the loop itself."""
    match found:
        case Dead(gone=True):
            return disabled(loop, "gone", now)
        case Again() | Dead():
            return failures.failed(loop, found.error[:LONGEST_REASON], now)
        case _:
            return failures.succeeded(loop, now)


def held(delivery: Delivery, ladder: Ladder, now: float, seconds: float | None = None) -> Record:
    """The record of a delivery that waits without an attempt: so many seconds, or a rung higher each time."""
    due = now + (ladder.held(delivery.holds) if seconds is None else seconds)
    return _retry(msgspec.structs.replace(delivery, holds=delivery.holds + 1), due, ladder, now)


def onward(delivery: Delivery, ladder: Ladder, now: float) -> Record | None:
    """The next link of a wait longer than its topic's; None where the delivery is due.

    It has left its topic: what is left is what the record said beyond that, whatever was done to the clock.
    """
    left = min(delivery.due - now, delivery.due - delivery.leaves)
    return _retry(delivery, now + left, ladder, now) if left > 0 else None


def _luck(delivery: str, attempts: int) -> float:
    """From 0 to 1, another for each attempt of each delivery, and always the same for one."""
    return crc32(f"{delivery} {attempts}".encode()) / 2**32


def buried(delivery: Delivery, reason: str) -> Record:
    """A dead letter with its history; the reason in a header, as all dead letters have it."""
    key = f"{delivery.loop}/{delivery.id}".encode()
    return Record(topics.DELIVERIES_DEAD, key, _json.encode(delivery), (("reason", reason[:LONGEST_REASON].encode()),))


def letters(delivery: Delivery, reason: str) -> list[Record]:
    """The dead letters of a delivery: one for each event of a batch, so that each can be found and sent by itself."""
    return [buried(one, reason) for one in singles(delivery)]


def _retry(delivery: Delivery, due: float, ladder: Ladder, now: float) -> Record:
    topic, leaves = ladder.wait(now, due)
    waiting = msgspec.structs.replace(delivery, due=due, leaves=leaves, source=None, offsets=[])
    return Record(topic, delivery.loop.encode(), _json.encode(waiting))


def _failed(post: Post, sent: Sent, error: str) -> Delivery:
    attempts = post.delivery.attempts + 1
    failed = Failed(attempt=attempts, at=utc(post.at), error=error[:LONGEST_REASON], status=sent.reply.status)
    return msgspec.structs.replace(post.delivery, attempts=attempts, holds=0, history=[*post.delivery.history, failed])


def _attempt(post: Post, sent: Sent, found: Verdict) -> Record:
    event, outcome = post.events[0], _outcome(found)
    attempt = Attempt(
        delivery=post.delivery.id,
        loop=post.loop.id,
        account=post.loop.account,
        event=event.id,
        type=event.type,
        profile=event.profile,
        attempt=post.delivery.attempts + 1,
        at=utc(post.at),
        url=post.loop.url,
        outcome=outcome,
        timings=sent.timings,
        status=sent.reply.status,
        error=found.error if isinstance(found, Again | Dead) else None,
        response=sent.body.decode(errors="replace")[:KEPT_RESPONSE] or None,
        recipient=event.recipient,
        message=event.message,
        next_attempt=utc(found.due) if isinstance(found, Again) else None,
        replay=post.delivery.replay,
        batch=carried(post.events) if post.delivery.more else [],
    )
    return Record(topics.ATTEMPTS, post.loop.id.encode(), _json.encode(attempt))


def _outcome(found: Verdict) -> Outcome:
    match found:
        case Again():
            return "again"
        case Dead():
            return "dead"
        case _:
            return "delivered"
