"""A loop is a customer's wish to be told: where, about what, and whether the address was proved."""

from datetime import datetime
from typing import Literal

import msgspec

SignatureKind = Literal["v1a", "http"]
Format = Literal["form", "json"]
State = Literal["unverified", "active", "paused", "disabled"]
Reason = Literal["gone", "failing", "ownership"]
ChangeWord = Literal["created", "changed", "paused", "resumed", "verified", "rotated"]


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events of its types a loop wants; empty lists want all."""

    mailings: list[str] = []
    tags: list[str] = []
    machine: bool = True
    exclude_origins: list[str] = []


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many events go in one POST at most, so many bytes of body, and none waits longer than `ms` for others."""

    events: int = 100
    bytes: int = 256 * 1024
    ms: int = 1000


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signing secret, sealed (see model/sealed.py). It signs until `expires`."""

    sealed: str
    created: datetime
    expires: datetime | None = None


class SigningKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key that signs beside the secrets: ed25519 for `v1a`, RSA for `http`.

    `sealed` is the private half (base64 of its 32 bytes, or PEM), `public` base64 of the other: 32 bytes, or the DER of
    its SubjectPublicKeyInfo. `name` is the DNS name an RSA key is found at. It signs from `starts` until `expires`.
    """

    kind: SignatureKind
    sealed: str
    public: str
    created: datetime
    name: str | None = None
    starts: datetime | None = None
    expires: datetime | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done to a loop, when, by whom: a user's name, or `API key`. `fields` are names, never values."""

    at: datetime
    what: ChangeWord
    by: str | None = None
    fields: list[str] = []


class Loop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the compacted topic `loops`, written by the console alone.

    Nothing is sent unless `url` equals `verified_url`. `epoch` counts successful verifications: what deliver
    found out about an earlier epoch (see LoopState) no longer holds. `signatures` are those wanted beside `v1`, `keys`
    what they are made with, `key_id` the DNS name of the newest RSA key. `headers` are sealed; their names, which the
    owner is shown, stand beside them in plain. `history` is what was done to it, the newest first, and bounded.
    """

    id: str
    account: str
    name: str
    url: str
    events: list[str]
    file: str
    content: str
    created_at: datetime
    secrets: list[Secret]
    format: Format = "form"
    filter: Filter = Filter()
    fields: list[str] | None = None
    headers: str | None = None
    header_names: list[str] = []
    rate: float | None = None
    max_in_flight: int | None = None
    batch: Batch | int | None = None
    ordered: bool = False
    paused: bool = False
    verified_url: str | None = None
    verified_at: datetime | None = None
    epoch: int = 0
    signatures: list[SignatureKind] = []
    key_id: str | None = None
    keys: list[SigningKey] = []
    history: list[Change] = []

    @property
    def batching(self) -> Batch | None:
        """How its events are put together; a mere number, as 0.1.0 took one, never meant anything."""
        return self.batch if isinstance(self.batch, Batch) else None


class LoopState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="disabled"):
    """One row of the compacted topic `loop-states`, key `LOOP`, written by deliver alone: it was disabled, and why."""

    loop: str
    epoch: int
    reason: Reason
    at: datetime


class Stretch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Offsets of one partition of `events` that were not routed, from `start` to before `end`; open without one."""

    start: int
    end: int | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="held"):
    """One row of `loop-states`, key `LOOP/PARTITION`, written by whoever routes that partition of `events`.

    What a loop missed while it was paused or disabled, in order; it comes when that is over.
    """

    loop: str
    partition: int
    stretches: list[Stretch]


class Failing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="failing"):
    """One row of `loop-states`, key `LOOP/failing`, written by whoever delivers to the loop.

    Since when nothing but failures came of its POSTs; `warned`: its account was told.
    """

    loop: str
    epoch: int
    since: datetime
    warned: bool = False


class Checked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="checked"):
    """One row of `loop-states`, key `LOOP/checked`, written by whoever delivers to the loop.

    When its verification file was last looked for again, and how many times in a row it was surely gone.
    """

    loop: str
    epoch: int
    at: datetime
    misses: int = 0


AnyState = LoopState | Hold | Failing | Checked


def failing_key(loop: str) -> bytes:
    """The key of a row that says since when a loop fails."""
    return f"{loop}/failing".encode()


def checked_key(loop: str) -> bytes:
    """The key of a row that says when a loop's file was last looked for."""
    return f"{loop}/checked".encode()


def state_of(loop: Loop, found: LoopState | None) -> tuple[State, Reason | None]:
    """A loop's state, and the reason where it is disabled, from what the console wrote and deliver found out."""
    if loop.verified_url != loop.url:
        return "unverified", None
    if found is not None and found.epoch == loop.epoch:
        return "disabled", found.reason
    return ("paused" if loop.paused else "active"), None
