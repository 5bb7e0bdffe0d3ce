"""One example of every call and every problem: what the OpenAPI and the docs show, and the tests try."""

from typing import Any, NamedTuple

from pipeline.capture.rewrite import PIXEL
from pipeline.console.problems import Kind, Problem, Wrong


class Example(NamedTuple):
    """What is sent (None: nothing) and what comes back; `lines` is the body of a call that takes lines."""

    asked: Any = None
    answered: Any = None
    lines: str | None = None


PROFILE = {"email": "jane@mail.example", "fields": {"city": "Utrecht"}, "interests": ["bikes"]}
URL = "https://shop.example/hooks/in.php"
FILE = "loopwire-5f0c2a9be17d4c36.txt"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD7bkZKqyVlOg="  # noqa: S105 (an example's)
FILTER = {"mailings": [], "tags": ["sale"], "machine": False, "exclude_origins": []}
WISHES = {"name": "shop's own server", "url": URL, "events": ["open", "click"], "filter": FILTER}
LOOP = WISHES | {
    "id": "lp_q3z5w7k2m4n6p2r5",
    "format": "form",
    "fields": None,
    "headers": ["Authorization"],
    "rate": None,
    "max_in_flight": None,
    "batch": None,
    "ordered": False,
    "state": "unverified",
    "reason": None,
    "verification": {
        "file": FILE,
        "content": "loopwire-0b9d3d6c8f1e4a7f9a52c1d07e6b3f48",
        "urls": [f"https://shop.example/hooks/{FILE}", f"https://shop.example/{FILE}"],
    },
    "verified_at": None,
    "created_at": "2026-03-20T09:00:00Z",
    "signatures": [],
    "key_id": None,
    "public_keys": [],
}
ACTIVE = LOOP | {"state": "active", "verified_at": "2026-03-20T09:05:00Z"}
LATER = "2026-03-20T12:00:30Z"
REPLAY = {
    "id": "rp_4k7m2n6p2r5q3z5w",
    "loop": "lp_q3z5w7k2m4n6p2r5",
    "state": "queued",
    "reason": None,
    "matched": 0,
    "sent": 0,
    "progress": 0.0,
    "from": "2026-03-20T09:00:00Z",
    "to": "2026-03-20T10:00:00Z",
    "types": ["click"],
    "mailings": [],
    "tags": [],
    "profiles": [],
    "rate": 50,
    "dry_run": False,
    "created_at": "2026-03-20T12:00:00Z",
    "cancelled_at": None,
}
ATTEMPT = {
    "id": "at_1a7003",
    "event": "019ab5c7-5f20-7b3c-9d01-0242ac120002",
    "delivery": "msg_50f860418eb7a06547c8d6b07371d4f0",
    "type": "click",
    "profile": "jane",
    "recipient": "jane@mail.example",
    "message": "spring-sale.jane",
    "attempt": 1,
    "at": "2026-03-20T09:15:01.500000Z",
    "state": "retrying",
    "status": 500,
    "error": "answered 500",
    "next_attempt": "2026-03-20T09:15:06.500000Z",
    "response": "oops",
    "url": URL,
    "timings": {"dns": 1.5, "connect": 12.5, "tls": 30.25, "first_byte": 80.5, "total": 81.5},
    "replay": None,
    "batch": [],
}
FAILED = {"attempt": 11, "at": "2026-03-24T14:52:07Z", "status": 500, "error": "answered 500"}
DEAD = {name: ATTEMPT[name] for name in ("delivery", "event", "type", "profile", "recipient", "message")} | {
    "loop": LOOP["id"],
    "at": "2026-03-24T14:52:07.250000Z",
    "reason": "given up after 11 attempts: answered 500",
    "status": 500,
    "attempts": 11,
    "readable": True,
    "history": [FAILED],
}
TOLD = {
    "id": ATTEMPT["event"],
    "type": "click",
    "account": "shop",
    "profile": "jane",
    "at": "2026-03-20T09:15:00.123456Z",
    "recipient": "jane@mail.example",
    "url": "https://shop.example/spring",
}
LATENCY = {"p50": 87.24, "p95": 207.49, "p99": 293.44}
SUM = {"attempts": 1204, "delivered": 1190, "retrying": 13, "dead": 1, "latency": LATENCY}
NONE = {"attempts": 0, "delivered": 0, "retrying": 0, "dead": 0, "latency": None}
USER = {"account": "shop", "name": "jane", "role": "editor", "created_at": "2026-03-20T09:00:00Z"}
TOKEN = "1.k1.AbCdEf"  # noqa: S105 (shortened, and of no key)
DOMAINS = {"account": "shop", "domains": ["https://t.shop.example"]}
PRIVACY = {"obey_signals": True, "unregistered": ["works-council"]}
HIT = {
    "type": "failure",
    "profile": "jane",
    "mailing": "spring-sale",
    "message": "spring-sale.jane",
    "at": "2026-03-20T09:00:00Z",
    "details": {"code": 550, "extended": "5.1.1", "description": "no such user"},
}

EXAMPLES: dict[str, Example] = {
    "POST /v1/accounts": Example(
        {"name": "shop"}, {"account": "shop", "api_key": "lw_3q2-7wAAb1ZkT0x8JmNn4rC5vY6uE9sQpLhGfDdSaKo"}
    ),
    "POST /v1/accounts/{account}/users": Example(
        {"name": "jane", "role": "editor"}, USER | {"password": "mK3v-9QxT-b7Rw-Zc2N-uY5h"}
    ),
    "GET /v1/accounts/{account}/users": Example(None, [USER]),
    "POST /v1/accounts/{account}/users/{user}/password": Example(
        {"password": "correct horse battery staple"}, USER | {"password": None}
    ),
    "DELETE /v1/accounts/{account}/users/{user}": Example(),
    "GET /v1/accounts/{account}/domains": Example(None, DOMAINS),
    "PUT /v1/accounts/{account}/domains": Example({"domains": ["t.shop.example"]}, DOMAINS),
    "GET /v1/privacy": Example(None, PRIVACY),
    "PUT /v1/privacy": Example(PRIVACY, PRIVACY),
    "PUT /v1/profiles/{profile}": Example(PROFILE),
    "DELETE /v1/profiles/{profile}": Example(),
    "POST /v1/profiles": Example(
        {"id": "jane"} | PROFILE,
        {"accepted": 1, "rejected": [{"line": 2, "error": "email: must be an e-mail address with one @"}]},
        '{"id": "jane", "email": "jane@mail.example", "fields": {"city": "Utrecht"}}\n{"id": "joe", "email": "joe"}\n',
    ),
    "PUT /v1/mailings/{mailing}": Example({"name": "Spring sale", "tags": ["sale", "spring"]}),
    "POST /v1/track": Example(
        {
            "profile": "jane",
            "mailing": "spring-sale",
            "message": "spring-sale.jane",
            "links": ["https://shop.example/spring"],
            "html": '<p><a href="https://shop.example/sale?a=1&amp;b=2">Sale</a></p>',
        },
        {
            "open": f"https://t.example.com/o/{TOKEN}.gif",
            "clicks": {
                "https://shop.example/spring": f"https://t.example.com/c/{TOKEN}",
                "https://shop.example/sale?a=1&b=2": f"https://t.example.com/c/{TOKEN}",
            },
            "unsubscribe": f"https://t.example.com/u/{TOKEN}",
            "html": f'<p><a href="https://t.example.com/c/{TOKEN}">Sale</a></p>'
            + PIXEL.format(f"https://t.example.com/o/{TOKEN}.gif"),
        },
    ),
    "POST /v1/hits": Example(
        HIT,
        {"accepted": 1, "rejected": [{"line": 2, "error": "link: is no tracking link of this account"}]},
        '{"type": "bounce", "profile": "jane", "mailing": "spring-sale"}\n'
        f'{{"type": "abuse", "link": "https://t.example.com/u/{TOKEN}"}}\n',
    ),
    "POST /v1/loops": Example(
        WISHES | {"headers": {"Authorization": "Basic c2hvcDpodW50ZXIy"}}, LOOP | {"secret": SECRET}
    ),
    "GET /v1/loops": Example(None, [ACTIVE]),
    "GET /v1/loops/{loop}": Example(None, ACTIVE),
    "GET /v1/loops/{loop}/history": Example(
        None,
        [
            {"at": "2026-03-20T09:05:00Z", "what": "verified", "by": "jane", "fields": []},
            {"at": "2026-03-20T09:00:00Z", "what": "created", "by": "API key", "fields": []},
        ],
    ),
    "PATCH /v1/loops/{loop}": Example(
        {"events": ["open", "click", "bounce"], "format": "json", "batch": {"events": 200, "ms": 2000}},
        ACTIVE | {"format": "json", "batch": {"events": 200, "bytes": 262_144, "ms": 2000}},
    ),
    "DELETE /v1/loops/{loop}": Example(),
    "POST /v1/loops/{loop}/verify": Example(None, ACTIVE),
    "POST /v1/loops/{loop}/pause": Example(None, ACTIVE | {"state": "paused"}),
    "POST /v1/loops/{loop}/resume": Example(None, ACTIVE),
    "POST /v1/loops/{loop}/test": Example(None, {"status": 200, "ms": 41.7, "response": "thank you"}),
    "POST /v1/loops/{loop}/replays": Example(
        {"from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z", "types": ["click"], "rate": 50}, REPLAY
    ),
    "GET /v1/loops/{loop}/replays": Example(None, [REPLAY]),
    "GET /v1/replays/{replay}": Example(
        None, REPLAY | {"state": "running", "matched": 1200, "sent": 1200, "progress": 0.4}
    ),
    "DELETE /v1/replays/{replay}": Example(
        None, REPLAY | {"state": "cancelled", "matched": 1230, "sent": 1230, "progress": 0.41, "cancelled_at": LATER}
    ),
    "GET /v1/loops/{loop}/attempts": Example(
        None, {"attempts": [ATTEMPT], "next_cursor": "MTc3NDAwMDUwMTUwMDAwMCwxNzMyNjEx"}
    ),
    "POST /v1/loops/{loop}/attempts/{attempt}/again": Example(
        None, {"delivery": ATTEMPT["delivery"], "event": ATTEMPT["event"], "replay": "again_6r5q3z5w4k7m2n6p"}
    ),
    "GET /v1/loops/{loop}/stats": Example(
        None,
        {
            "from": "2026-03-20T09:00:00Z",
            "to": "2026-03-20T09:30:00Z",
            "step": "15m",
            "total": SUM | {"types": {"click": 204, "open": 1000}},
            "points": [
                SUM | {"at": "2026-03-20T09:00:00Z"},
                NONE | {"at": "2026-03-20T09:15:00Z"},
            ],
        },
    ),
    "GET /v1/loops/{loop}/dead": Example(
        None, {"dead": [DEAD], "total": 1, "next_cursor": "MTc3NDAwMDUwMTUwMDAwMCwxNzMyNjEx"}
    ),
    "GET /v1/loops/{loop}/dead/{delivery}": Example(None, DEAD | {"content": TOLD}),
    "POST /v1/loops/{loop}/dead/redrive": Example(
        {"from": "2026-03-24T00:00:00Z", "reason": "answered 500", "rate": 50},
        {"redriven": 204, "left": 0, "last_due": "2026-03-25T09:00:09.060000Z"},
    ),
    "POST /v1/loops/{loop}/dead/purge": Example({"deliveries": [DEAD["delivery"]]}, {"purged": 1, "left": 0}),
    "POST /v1/loops/{loop}/secrets": Example(None, {"secret": SECRET, "old_expires_at": "2026-03-21T09:00:00Z"}),
}

_URL_WRONG = Wrong("body.url", "has credentials in it: use headers for them")
_NAME_TAKEN = Wrong("body.name", "shop is an account already")
PROBLEMS: dict[Kind, Problem] = {
    "bad-request": Problem("bad-request", "the request can't be read"),
    "bad-json": Problem("bad-json", "the body is not JSON: Input data was truncated"),
    "unauthorized": Problem("unauthorized", "no key was shown: send Authorization: Bearer KEY"),
    "not-found": Problem("not-found", "there is no such loop"),
    "method-not-allowed": Problem("method-not-allowed", "/v1/loops has no PUT"),
    "taken": Problem("taken", f"{_NAME_TAKEN.where}: {_NAME_TAKEN.what}", [_NAME_TAKEN]),
    "changed": Problem("changed", "the loop got another url meanwhile: verify it again"),
    "unverified": Problem(
        "unverified", "the loop's url is not verified: place the verification file and verify it first"
    ),
    "busy": Problem("busy", "the loop has 20 replays under way: wait, or cancel one"),
    "a-batch": Problem("a-batch", "this POST told several events: a replay of their time sends them again"),
    "gone": Problem("gone", "the event of this attempt is no longer kept: it can't be sent again"),
    "too-large": Problem("too-large", "the body is larger than 65536 bytes"),
    "not-json": Problem("not-json", "send the body with Content-Type: application/json"),
    "invalid": Problem("invalid", f"{_URL_WRONG.where}: {_URL_WRONG.what}", [_URL_WRONG]),
    "unverifiable": Problem(
        "unverifiable",
        f"https://shop.example/{FILE}: answered 404",
        fetched=[{"url": f"https://shop.example/{FILE}", "status": 404, "error": "answered 404"}],
    ),
    "too-many-calls": Problem("too-many-calls", "a key may make 1000 calls a second, 2000 at once: wait 1 s"),
    "fault": Problem("fault", "this is a fault of ours, and is in our log"),
    "unavailable": Problem(
        "unavailable", "Kafka did not acknowledge it in time. It may still come: ask, or send it again"
    ),
    "no-store": Problem("no-store", "the store of attempts does not answer now: ask again"),
    "crowded": Problem("crowded", "too many mails wait to be rewritten: send it again"),
}
