"""What the API shows: never a secret again, never a header's value."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.console.store.told import State as AttemptState
from pipeline.model.accounts import Role
from pipeline.model.loops import ChangeWord, Format, Reason, SignatureKind, State
from pipeline.model.replays import ReplayWord


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class AccountShown(Shown):
    account: str
    api_key: str


class DomainsShown(Shown):
    account: str
    domains: list[str] = Field(description="bases of tracking links")


class PrivacyShown(Shown):
    obey_signals: bool
    unregistered: list[str]


class UserShown(Shown):
    account: str
    name: str
    role: Role
    created_at: datetime


class UserMade(UserShown):
    """A user with a new password: the one time one that was made for them is shown; null where it was given."""

    password: str | None


class FilterShown(Shown):
    mailings: list[str]
    tags: list[str]
    machine: bool
    exclude_origins: list[str]


class VerificationShown(Shown):
    """The file to be placed, its content, and where it is looked for, in that order."""

    file: str
    content: str
    urls: list[str]


class KeyShown(Shown):
    """A public key: `whpk_...` for `v1a`; for `http` its DER in base64, and the TXT record to be published at `name`.

    It signs from `signs_from` on, until `signs_until`, or until it is replaced.
    """

    kind: SignatureKind
    public: str
    name: str | None
    txt: str | None
    signs_from: datetime
    signs_until: datetime | None


class BatchShown(Shown):
    """How many events, how many bytes of body, and for how many milliseconds one waits for others, at most."""

    events: int
    bytes: int
    ms: int


class LoopShown(Shown):
    id: str
    name: str
    url: str
    events: list[str]
    format: Format
    filter: FilterShown
    fields: list[str] | None
    headers: list[str]
    rate: float | None
    max_in_flight: int | None
    batch: BatchShown | None
    ordered: bool
    state: State
    reason: Reason | None
    verification: VerificationShown
    verified_at: datetime | None
    created_at: datetime
    signatures: list[SignatureKind]
    key_id: str | None
    public_keys: list[KeyShown]


class LoopMade(LoopShown):
    """A new loop: the one time its secret is shown."""

    secret: str


class ChangeShown(Shown):
    """What was done to a loop. `by` is a user's name, or `API key`; `fields` names what a change changed."""

    at: datetime
    what: ChangeWord
    by: str | None
    fields: list[str]


class AgainShown(Shown):
    """One delivery is on its way again, under the id it had; its attempts have this `replay`."""

    delivery: str
    event: str
    replay: str


class SecretShown(Shown):
    """A new secret: the one time it is shown. The one before it signs until `old_expires_at`."""

    secret: str
    old_expires_at: datetime


class TrialShown(Shown):
    """What the customer's server answered, after how many milliseconds; `error` says why a whole answer did not come.

    `status` is null where the server was not reached.
    """

    status: int | None
    ms: float
    response: str
    error: str | None = None


class ReplayShown(Shown):
    """A replay: `matched` and `sent` are so far, `progress` goes from 0 to 1. `reason` says what it waits for."""

    id: str
    loop: str
    state: ReplayWord
    reason: str | None
    matched: int
    sent: int
    progress: float
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    types: list[str]
    mailings: list[str]
    tags: list[str]
    profiles: list[str]
    rate: float | None
    dry_run: bool
    created_at: datetime
    cancelled_at: datetime | None


class TimingsShown(Shown):
    """Milliseconds from the start of the POST to each milestone; 0 where it was not reached."""

    dns: float
    connect: float
    tls: float
    first_byte: float
    total: float


class CarriedShown(Shown):
    """One event of a batch."""

    event: str
    type: str
    profile: str
    recipient: str | None
    message: str | None


class AttemptShown(Shown):
    """One POST. `status` is null where no answer came; `next_attempt` is there while it is `retrying`.

    `replay` is the id of the replay it belongs to. `batch` are all events of a POST that told several, the first too,
    which is what `event` and the names beside it say; it is empty for a POST of one.
    """

    id: str
    event: str
    delivery: str
    type: str
    profile: str
    recipient: str | None
    message: str | None
    attempt: int
    at: datetime
    state: AttemptState
    status: int | None
    error: str | None
    next_attempt: datetime | None
    response: str | None
    url: str
    timings: TimingsShown
    replay: str | None
    batch: list[CarriedShown]


class AttemptsShown(Shown):
    """A page; `next_cursor` asks for the one after it, and is null on the last."""

    attempts: list[AttemptShown]
    next_cursor: str | None


class FailedShown(Shown):
    """One attempt that failed. `status` is null where no answer came."""

    attempt: int
    at: datetime
    status: int | None
    error: str


class DeadShown(Shown):
    """A delivery that was given up, when and why; `history` has its failed attempts, the oldest first.

    `status` is the last answer's. One that is not `readable` is a record that holds no delivery: it can be purged only.
    """

    loop: str
    delivery: str
    event: str | None
    type: str | None
    profile: str | None
    recipient: str | None
    message: str | None
    at: datetime
    reason: str
    status: int | None
    attempts: int
    readable: bool
    history: list[FailedShown]


class DeadLetterShown(DeadShown):
    """A dead letter whole: `content` is the event it was to tell, as it stands in `events`."""

    content: dict[str, Any] | None


class DeadsShown(Shown):
    """A page; `total` is how many fit, `next_cursor` asks for the page after it, and is null on the last."""

    dead: list[DeadShown]
    total: int
    next_cursor: str | None


class RedrivenShown(Shown):
    """How many are on their way, and how many that fit are still dead; the last of them is due at `last_due`."""

    redriven: int
    left: int
    last_due: datetime | None


class PurgedShown(Shown):
    """How many are forgotten, and how many that fit are still there."""

    purged: int
    left: int


class LatencyShown(Shown):
    """Milliseconds that half, 95 % and 99 % of the attempts did not exceed."""

    p50: float
    p95: float
    p99: float


class SumShown(Shown):
    """How many attempts, and how they ended; `latency` is null where there were none."""

    attempts: int
    delivered: int
    retrying: int
    dead: int
    latency: LatencyShown | None


class PointShown(SumShown):
    """One step, from `at` on."""

    at: datetime


class TotalShown(SumShown):
    """The whole stretch; `types` counts the attempts for each type of event."""

    types: dict[str, int]


class StatsShown(Shown):
    """From `from` to before `to`, in whole steps."""

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    step: str
    total: TotalShown
    points: list[PointShown]


class RejectedShown(Shown):
    """A line, counted from 1, and what is wrong with it."""

    line: int
    error: str


class LoadShown(Shown):
    """How many lines were taken, and which were not; `unlisted` counts those beyond the first 10,000 of these."""

    accepted: int
    rejected: list[RejectedShown]
    unlisted: int = 0


class LinksShown(Shown):
    open: str = Field(description="the pixel")
    clicks: dict[str, str] = Field(description="the link to put in the place of each; those of `html` are among them")
    unsubscribe: str = Field(description="for the header `List-Unsubscribe`, between < and >, and for a link")
    html: str | None = Field(default=None, description="there only where it was sent")
