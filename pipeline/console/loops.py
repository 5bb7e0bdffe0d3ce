"""A loop is made, changed, verified and shown."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from pipeline.console.forms import LoopFields, LoopForm, LoopPatch, not_batched
from pipeline.console.problems import Problem, Wrong
from pipeline.console.seals import Random, Seals
from pipeline.console.shown import BatchShown, FilterShown, LoopShown, VerificationShown
from pipeline.console.signing_keys import key_shown, new_ed25519, new_rsa
from pipeline.deliver.signing import PREFIX, live, signing
from pipeline.model.loops import Batch, Change, ChangeWord, Filter, Loop, LoopState, Secret, SigningKey, state_of
from pipeline.record import Record
from pipeline.topics import LOOPS
from pipeline.verification import places

SECRET_BYTES = 32
OLD_SECRET_SIGNS = timedelta(hours=24)
LIVE_SECRETS = 3
KEPT_CHANGES = 20
PLAIN_FIELDS = frozenset(
    {
        "name",
        "url",
        "events",
        "format",
        "fields",
        "rate",
        "max_in_flight",
        "ordered",
        "signatures",
        "key_id",
    }
)
CHANGEABLE = (
    "name",
    "url",
    "events",
    "format",
    "filter",
    "fields",
    "headers",
    "rate",
    "max_in_flight",
    "batch",
    "ordered",
    "signatures",
    "key_id",
)


class Identity(NamedTuple):
    """What nobody can guess about a loop: its id, its verification file, its first secret."""

    id: str
    file: str
    content: str
    secret: str


def identity(random: Random) -> Identity:
    """A new one: 80 bits of id, 64 of file name, 128 of content, 256 of secret."""
    return Identity(
        id="lp_" + base64.b32encode(random(10)).decode().lower(),
        file=f"loopwire-{random(8).hex()}.txt",
        content=f"loopwire-{random(16).hex()}",
        secret=secret(random),
    )


def secret(random: Random) -> str:
    """A new signing secret, as Standard Webhooks writes one."""
    return PREFIX + base64.b64encode(random(SECRET_BYTES)).decode()


def created(account: str, form: LoopForm, new: Identity, seals: Seals, now: datetime) -> Loop:
    """A new loop: unverified, with one sealed secret."""
    return Loop(
        id=new.id,
        account=account,
        file=new.file,
        content=new.content,
        created_at=now,
        secrets=[Secret(sealed=seals.close(new.id, new.secret), created=now)],
        **_given(form, new.id, seals),
    )


def patched(loop: Loop, form: LoopPatch, seals: Seals) -> Loop:
    """The loop with what the form gives. A new `url` was never verified, even if it was once before.

    Problem where it wants batches together with what they don't go with.
    """
    changed = replace(loop, **_given(form, loop.id, seals))
    if changed.batching is not None and (why := not_batched(changed.format, changed.ordered)):
        wrong = Wrong("body.batch", why)
        raise Problem("invalid", f"{wrong.where}: {wrong.what}", [wrong])
    if changed.url == loop.url:
        return changed
    return replace(changed, verified_url=None, verified_at=None)


def paused(loop: Loop, on: bool) -> Loop:
    """The loop paused, or no longer."""
    return replace(loop, paused=on)


def verified(loop: Loop, now: datetime) -> Loop:
    """The loop after its file was found: what was known against it before no longer counts."""
    return replace(loop, verified_url=loop.url, verified_at=now, epoch=loop.epoch + 1)


def rotated(loop: Loop, new: str, seals: Seals, now: datetime) -> Loop:
    """The loop with a new first secret.

    Those before it sign for 24 h from when they were replaced, and no longer than they are among the newest three:
    each is an entry in every POST's header.
    """
    old = [replace(one, expires=one.expires or now + OLD_SECRET_SIGNS) for one in live(loop.secrets, now)]
    first = Secret(sealed=seals.close(loop.id, new), created=now)
    return replace(loop, secrets=[first, *old[: LIVE_SECRETS - 1]], keys=_rotated_keys(loop, seals, now))


def _rotated_keys(loop: Loop, seals: Seals, now: datetime) -> list[SigningKey]:
    """Keys of `v1a` go with the secrets; an RSA key is renewed by giving it another name."""
    others = [key for key in loop.keys if key.kind != "v1a"]
    if "v1a" not in loop.signatures:
        return others
    old = [replace(one, expires=one.expires or now + OLD_SECRET_SIGNS) for one in signing(loop.keys, "v1a", now)]
    return [*others, new_ed25519(loop.id, seals, now), *old[: LIVE_SECRETS - 1]]


def keyed(loop: Loop, seals: Seals, now: datetime) -> Loop:
    """The loop with the keys that its signatures need; Problem where an RSA key has no name to be found at."""
    if "http" in loop.signatures and loop.key_id is None:
        wrong = Wrong("body.key_id", "must be a DNS name where signatures have http")
        raise Problem("invalid", f"{wrong.where}: {wrong.what}", [wrong])
    keys = [key for key in loop.keys if key.kind in loop.signatures and (key.expires is None or key.expires > now)]
    if "v1a" in loop.signatures and not any(key.kind == "v1a" for key in keys):
        keys.append(new_ed25519(loop.id, seals, now))
    of_http = [key for key in keys if key.kind == "http"]
    if "http" in loop.signatures and not any(key.name == loop.key_id and key.expires is None for key in of_http):
        keys = [key for key in keys if key.kind != "http"] + renamed(loop, of_http, seals, now)
    return loop if keys == loop.keys else replace(loop, keys=keys)


def renamed(loop: Loop, old: list[SigningKey], seals: Seals, now: datetime) -> list[SigningKey]:
    """RSA keys after the loop got another name for them: the old one signs on for 24 h, to publish the new meanwhile.

    A name that comes back within that time brings its key back, since that is what is published there.
    """
    if back := [replace(one, starts=None, expires=None) for one in old if one.name == loop.key_id]:
        return back[:1]
    signs = signing(old, "http", now)[:1]
    starts = now + OLD_SECRET_SIGNS if signs else None
    return [*(replace(one, expires=starts) for one in signs), new_rsa(loop, seals, now, starts)]


def noted(loop: Loop, what: ChangeWord, by: str, at: datetime, before: Loop | None = None) -> Loop:
    """The loop with one more line in its history; of a change from `before`, with the names of what is not the same."""
    fields = [name for name in CHANGEABLE if before is not None and getattr(before, name) != getattr(loop, name)]
    change = Change(at=at, what=what, by=by, fields=fields)
    return replace(loop, history=[change, *loop.history][:KEPT_CHANGES])


def row(loop: Loop) -> Record:
    """The loop as a record."""
    return Record(LOOPS, loop.id.encode(), msgspec.json.encode(loop))


def tombstone(loop: str) -> Record:
    """The record that removes a loop."""
    return Record(LOOPS, loop.encode(), None)


def shown(loop: Loop, found: LoopState | None) -> LoopShown:
    """The loop as its owner may see it."""
    state, reason = state_of(loop, found)
    return LoopShown(
        **{name: getattr(loop, name) for name in PLAIN_FIELDS},
        id=loop.id,
        filter=FilterShown(**msgspec.structs.asdict(loop.filter)),
        batch=BatchShown(**msgspec.structs.asdict(loop.batching)) if loop.batching else None,
        headers=loop.header_names,
        state=state,
        reason=reason,
        verification=VerificationShown(file=loop.file, content=loop.content, urls=places(loop.url, loop.file)),
        verified_at=loop.verified_at,
        created_at=loop.created_at,
        public_keys=[key_shown(key) for key in loop.keys],
    )


def _given(form: LoopFields, loop: str, seals: Seals) -> dict[str, Any]:
    """What the form names, as a Loop holds it."""
    names = form.model_fields_set
    given: dict[str, Any] = {name: getattr(form, name) for name in names & PLAIN_FIELDS}
    if "filter" in names:
        given["filter"] = Filter(**form.filter.model_dump())
    if "batch" in names:
        given["batch"] = Batch(**form.batch.model_dump()) if form.batch else None
    if "headers" in names:
        given["headers"] = seals.close(loop, json.dumps(form.headers)) if form.headers else None
        given["header_names"] = list(form.headers or ())
    return given
