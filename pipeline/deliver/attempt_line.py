"""One wide line for each POST, by the logger `loopwire.attempts` at INFO: what was sent, what came of it, its lane.

It is logfmt: words that machines and people read alike. It holds ids, never the recipient, the address, the body or a
header. The attempt's record in Kafka has all of it.
"""

import json
import logging
import re
from datetime import datetime
from typing import Any

from pipeline.deliver.lanes import Lane
from pipeline.deliver.stage import Post, Sent, outcome_of, waits_until
from pipeline.model.deliveries import Timings
from pipeline.model.ids import utc
from pipeline.record import Record

log = logging.getLogger("loopwire.attempts")

LONGEST_ERROR = 200
PLAIN = re.compile(r"[\w.:@+/-]+", re.ASCII)


def tell(post: Post, sent: Sent, records: list[Record], lane: Lane[Any], tick: float) -> None:
    """Logs the POST whose answer led to the records; where the level is off it costs a look at it.

    `tick` is seconds of a clock that is never set; the lane is as the answer left it.
    """
    if log.isEnabledFor(logging.INFO):
        log.info("%s", line(post, sent, records, lane, tick))


def line(post: Post, sent: Sent, records: list[Record], lane: Lane[Any], tick: float) -> str:
    """`name=value` in one order, a value that is not known being `-`. Times are milliseconds from the POST's start.

    Of a batch, `event` and `type` are its first event's, and `events` is how many it carried.
    """
    delivery, event, took = post.delivery, post.events[0], sent.timings
    due = waits_until(records)
    return (
        f"loop={post.loop.id} delivery={_word(delivery.id)} event={_word(event.id)} type={_word(event.type)}"
        f" events={len(post.events)} attempt={delivery.attempts + 1}"
        f" outcome={outcome_of(records)} status={sent.reply.status or '-'}"
        f" dns_ms={took.dns:.1f} connect_ms={took.connect:.1f} tls_ms={took.tls:.1f}"
        f" first_byte_ms={took.first_byte:.1f} total_ms={took.total:.1f}"
        f" next={'-' if due is None else _time(utc(due))} replay={delivery.replay or '-'}"
        f" in_flight={lane.in_flight} cap={lane.cap.size(lane.most)} waiting={len(lane.now.jobs) + len(lane.past.jobs)}"
        f" breaker={lane.breaker.state(tick)} error={_error(sent.reply.error, took)}"
    )


def _error(said: str | None, took: Timings) -> str:
    """libcurl's words, which name a host at most. Why an address was never called may quote the address itself."""
    if said is None:
        return "-"
    return _word(said[:LONGEST_ERROR]) if took.total else "address-refused"


def _word(text: str) -> str:
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
