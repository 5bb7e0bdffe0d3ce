"""Feedback loops by command: each command is a call of the API and a few lines of what came back."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.mistakes import Mistake, Refused
from pipeline.cli.moments import moment
from pipeline.cli.rates import a_second
from pipeline.cli.screen import AsJson, Key, say, say_json, table, warn
from pipeline.cli.sent import asked_path, attempt_row, stats_rows, total_line

app = typer.Typer(no_args_is_help=True, help="Feedback loops: who is told of what, where.")

UNVERIFIABLE = "urn:loopwire:problem:unverifiable"
EXCERPT = 200

LoopId = Annotated[str, typer.Argument(metavar="ID", help="The loop's id, as `loopwire loops list` shows it.")]
Url = Annotated[str, typer.Argument(metavar="URL", help="Where the POSTs go, such as https://shop.example/hooks/in.")]
Events = Annotated[
    list[str], typer.Option("--event", help="open, click, bounce, ...; once for each, or several parted by commas.")
]
Name = Annotated[str, typer.Option("--name", help="What people call it. Without: the URL's host.")]
FormatOption = Annotated[Literal["form", "json"], typer.Option("--format", help="The POSTs' bodies.")]
Tags = Annotated[list[str], typer.Option("--tag", help="Only mailings with one of these tags.")]
Mailings = Annotated[list[str], typer.Option("--mailing", help="Only these mailings.")]
Machine = Annotated[bool, typer.Option("--machine/--no-machine", help="Opens and clicks of machines, too.")]
Origins = Annotated[list[str], typer.Option("--exclude-origin", help="No changes of profiles made by this origin.")]
Fields = Annotated[list[str], typer.Option("--field", help="Only these fields of the profile. Without: all.")]
Headers = Annotated[
    list[str], typer.Option("--header", metavar="NAME:VALUE", help="A header of your own on each POST.")
]
Rate = Annotated[str, typer.Option("--rate", metavar="N/s", help="At most so many POSTs a second.")]
MaxInFlight = Annotated[int | None, typer.Option("--max-in-flight", help="At most so many POSTs at a time.")]
Ordered = Annotated[
    bool, typer.Option("--ordered", help="One POST at a time of each profile, in the order of its events.")
]
BatchEvents = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", help="Up to N events in one POST, as a JSON array; wants --format json."),
]
BatchBytes = Annotated[int | None, typer.Option("--batch-bytes", metavar="B", help="And up to B bytes of body.")]
BatchMs = Annotated[
    int | None, typer.Option("--batch-ms", metavar="T", help="And no event waits longer than T milliseconds.")
]
Signatures = Annotated[
    list[str], typer.Option("--signature", help="Beside v1: v1a (ed25519), http (as Copernica signs).")
]
KeyId = Annotated[str, typer.Option("--key-id", metavar="NAME", help="Where http's key is published, a DNS name.")]
State = Annotated[
    Literal["delivered", "retrying", "dead", "failed"] | None,
    typer.Option("--state", help="How they ended; `failed` is retrying and dead together."),
]
Type = Annotated[str, typer.Option("--type", help="Of events of this type: open, click, ...")]
Since = Annotated[str, typer.Option("--from", help="Not before this time: 2026-03-20T09:15:00Z, 2026-03-20, 2h ago.")]
Until = Annotated[str, typer.Option("--to", help="Before this time, written like that.")]
Recipient = Annotated[str, typer.Option("--recipient", help="To this address.")]
Profile = Annotated[str, typer.Option("--profile", help="Of this profile.")]
Message = Annotated[str, typer.Option("--message", help="Of this message.")]
EventId = Annotated[str, typer.Option("--event", help="Of the event with this id.")]
Delivery = Annotated[str, typer.Option("--delivery", help="Of this delivery, the `webhook-id` of its POSTs.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=250, help="How many at most.")]
Cursor = Annotated[str, typer.Option("--cursor", help="The page after the one whose `next_cursor` this is.")]
Step = Annotated[str, typer.Option("--step", help="Such as 5m, 1h, 1d. Without: about a hundred steps.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(name="list")
def list_(key: Key = "", as_json: AsJson = False) -> None:
    """The account's loops, the oldest first."""
    loops = _api(key).call("GET", path("loops"))
    if as_json:
        say_json(loops)
    elif loops:
        table(("id", "name", "state", "events", "format", "url"), [_row(loop) for loop in loops])
    else:
        warn("there are no loops yet: `loopwire loops add URL --event open` makes one")


@app.command()
def add(  # noqa: PLR0913, PLR0917 (options, each with a name)
    url: Url,
    events: Events,
    name: Name = "",
    format_: FormatOption = "form",
    tags: Tags = [],  # noqa: B006 (typer copies it)
    mailings: Mailings = [],  # noqa: B006
    machine: Machine = True,
    origins: Origins = [],  # noqa: B006
    fields: Fields = [],  # noqa: B006
    headers: Headers = [],  # noqa: B006
    rate: Rate = "",
    max_in_flight: MaxInFlight = None,
    ordered: Ordered = False,
    batch: BatchEvents = None,
    batch_bytes: BatchBytes = None,
    batch_ms: BatchMs = None,
    signatures: Signatures = [],  # noqa: B006
    key_id: KeyId = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Makes a loop, and says which file proves that the address is yours. Nothing is sent before that."""
    wish: dict[str, object] = {
        "name": name or urlsplit(url).hostname or url,
        "url": url,
        "events": words(events),
        "format": format_,
        "filter": {"mailings": mailings, "tags": tags, "machine": machine, "exclude_origins": origins},
    }
    more = {"fields": fields, "headers": _headers(headers), "rate": a_second(rate), "max_in_flight": max_in_flight,
            "ordered": ordered or None, "batch": _batch(batch, batch_bytes, batch_ms), "signatures": words(signatures),
            "key_id": key_id or None}  # fmt: skip
    loop = _api(key).call(
        "POST", path("loops"), wish | {name: value for name, value in more.items() if value not in (None, [], {})}
    )
    if as_json:
        say_json(loop)
        return
    say(f"loop    {loop['id']}  ({loop['state']})")
    say(f"secret  {loop['secret']}  (shown this once: it checks the POSTs' signatures)")
    say("")
    for line in to_be_placed(loop):
        say(line)


@app.command()
def verify(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """Looks for the verification file; the loop is active once it stands. Exits 1 where it does not."""
    api = _api(key)
    try:
        shown = api.call("POST", path("loops", loop, "verify"))
    except Refused as wrong:
        if wrong.document.get("type") != UNVERIFIABLE:
            raise
        file = to_be_placed(api.call("GET", path("loops", loop)))
        raise Mistake("\n".join([*_fetched(wrong), *file])) from wrong
    _say_state(shown, as_json)


@app.command(name="test")
def send_test(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """Sends one signed test POST and shows the answer. Exits 1 where that is no 2xx."""
    answer = _api(key).call("POST", path("loops", loop, "test"))
    status, error = answer["status"], answer.get("error")
    if as_json:
        say_json(answer)
    else:
        said = f"answered {status}" if status else "no answer"
        say(f"{said} after {answer['ms']:.0f} ms{f': {error}' if error else ''}")
        if answer["response"]:
            say(answer["response"][:EXCERPT])
    if error or not status or not 200 <= status <= 299:
        raise SystemExit(1)


@app.command()
def pause(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """Holds what the loop would be sent. It comes after `resume`, as long as events are kept."""
    _say_state(_api(key).call("POST", path("loops", loop, "pause")), as_json)


@app.command()
def resume(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """Sends again, and what was held first, at a capped pace."""
    _say_state(_api(key).call("POST", path("loops", loop, "resume")), as_json)


@app.command()
def rotate(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """Makes a new secret and prints it, once. For 24 hours both sign."""
    made = _api(key).call("POST", path("loops", loop, "secrets"))
    if as_json:
        say_json(made)
        return
    say(f"secret  {made['secret']}  (shown this once)")
    say(f"the old one signs too, until {made['old_expires_at']}")


@app.command()
def remove(loop: LoopId, yes: Yes = False, key: Key = "", as_json: AsJson = False) -> None:
    """Removes the loop; what was still to be delivered becomes dead letters. On a terminal it asks first."""
    api = _api(key)
    if not yes and sys.stdin.isatty():
        shown = api.call("GET", path("loops", loop))
        typer.confirm(f"remove {shown['id']} ({shown['name']}, to {shown['url']})?", abort=True, err=True)
    api.call("DELETE", path("loops", loop))
    if as_json:
        say_json({"id": loop, "removed": True})
    else:
        say(f"{loop} is removed")


@app.command()
def attempts(  # noqa: PLR0913, PLR0917 (options, each with a name)
    loop: LoopId,
    state: State = None,
    type_: Type = "",
    since: Since = "",
    until: Until = "",
    recipient: Recipient = "",
    profile: Profile = "",
    message: Message = "",
    event: EventId = "",
    delivery: Delivery = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """What was sent, the newest first. Times are in UTC."""
    asked = {"state": state or "", "type": type_, **_span(since, until), "recipient": recipient, "profile": profile,
             "message": message, "event": event, "delivery": delivery, "limit": str(limit),
             "cursor": cursor}  # fmt: skip
    found = _api(key).call("GET", asked_path(path("loops", loop, "attempts"), asked))
    if as_json:
        say_json(found)
        return
    if not found["attempts"]:
        warn("there are no such attempts")
        return
    columns = ("at", "state", "status", "ms", "type", "profile", "attempt", "next", "error")
    table(columns, [attempt_row(one) for one in found["attempts"]])
    if found["next_cursor"]:
        warn(f"there are more: --cursor {found['next_cursor']}")


@app.command()
def stats(
    loop: LoopId, since: Since = "", until: Until = "", step: Step = "", key: Key = "", as_json: AsJson = False
) -> None:
    """How many attempts were made over time, how they ended, how long they took. Without times: the last day."""
    asked = {**_span(since, until), "step": step}
    found = _api(key).call("GET", asked_path(path("loops", loop, "stats"), asked))
    if as_json:
        say_json(found)
        return
    say(total_line(found))
    if rows := stats_rows(found):
        table(("from", "attempts", "delivered", "retrying", "dead", "p50 ms", "p95 ms", "p99 ms"), rows)


def _api(key: str) -> Api:
    return Api(caller.account(settings.read(), key))


def _span(since: str, until: str) -> dict[str, str]:
    now = datetime.now(UTC)
    given = {"from": since, "to": until}
    return {name: moment(text, f"--{name}", now).isoformat() if text else "" for name, text in given.items()}


def _row(loop: dict[str, Any]) -> tuple[str, ...]:
    return loop["id"], loop["name"], _state(loop), ",".join(loop["events"]), loop["format"], loop["url"]


def _state(loop: dict[str, Any]) -> str:
    return f"{loop['state']} ({loop['reason']})" if loop.get("reason") else str(loop["state"])


def _say_state(loop: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(loop)
    else:
        say(f"{loop['id']} is {_state(loop)}: {loop['url']}")


def to_be_placed(loop: dict[str, Any]) -> list[str]:
    """Which file proves the address, and where it has to stand."""
    proof = loop["verification"]
    return [
        "To prove that the address is yours, place a file",
        f"  {proof['file']}",
        "with this one line in it",
        f"  {proof['content']}",
        "so that it is found at" + (" either of" if len(proof["urls"]) > 1 else ""),
        *(f"  {url}" for url in proof["urls"]),
        f"and say: loopwire loops verify {loop['id']}",
    ]


def _fetched(refused: Refused) -> list[str]:
    """What stood at each place, and why that proves nothing."""
    lines = ["the verification file was not found"]
    for look in refused.document.get("fetched", ()):
        lines.append(f"  {look['url']}: {look.get('error', 'is not the file')}")
        if look.get("body"):
            lines.append(f"    it begins with {look['body']!r}")
    return lines


def words(given: Sequence[str]) -> list[str]:
    """What was given once for each, or several parted by commas."""
    return [word.strip() for one in given for word in one.split(",") if word.strip()]


def _batch(events: int | None, size: int | None, ms: int | None) -> dict[str, int]:
    return {name: value for name, value in (("events", events), ("bytes", size), ("ms", ms)) if value is not None}


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise Mistake(
                "--header must be NAME:VALUE, such as 'Authorization: Basic ...'"
            )  # its value may be a secret
        if name.strip() in headers:
            raise Mistake(f"--header: {name.strip()} is there twice")
        headers[name.strip()] = value.strip()
    return headers
