"""The bodies people send, as they may be written."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.capture import destination
from pipeline.console import values
from pipeline.model.accounts import Role
from pipeline.model.events import EventType
from pipeline.model.ids import ACCOUNT_PATTERN, ID_PATTERN, USER_PATTERN
from pipeline.model.loops import Format, SignatureKind

LoopEvent = Literal["loop.failing", "loop.disabled", "loop.ownership", "loop.recovered"]
Event = Literal[EventType, LoopEvent]

HitType = Literal["delivery", "bounce", "failure", "abuse", "unsubscribe"]

MOST_LINKS = 10_000


def _destination(url: str) -> str:
    try:
        return destination.checked(url)
    except ValueError as wrong:
        raise ValueError(f"{url[:200]!r} can't be tracked: {wrong}") from wrong


Id = Annotated[str, Field(pattern=ID_PATTERN)]
AccountName = Annotated[str, Field(pattern=ACCOUNT_PATTERN)]
UserName = Annotated[str, Field(pattern=USER_PATTERN)]
Password = Annotated[str, Field(min_length=12, max_length=256, json_schema_extra={"format": "password"})]
Label = Annotated[str, Field(max_length=200), AfterValidator(values.label)]
Email = Annotated[str, Field(json_schema_extra={"format": "email"}), AfterValidator(values.email)]
Fields = Annotated[dict[str, Any], AfterValidator(values.shallow)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[list[Word], Field(max_length=1000)]
LoopUrl = Annotated[str, Field(json_schema_extra={"format": "uri"}), AfterValidator(values.loop_url)]
DnsName = Annotated[
    str, Field(max_length=253, pattern=r"^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9-]{2,63}$")
]
TrackingBase = Annotated[str, Field(max_length=300), AfterValidator(values.tracking_base)]
Events = Annotated[list[Event], Field(min_length=1), AfterValidator(values.distinct)]
Recipient = Annotated[str, Field(max_length=320, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Moment = Annotated[datetime, BeforeValidator(values.moment, json_schema_input_type=str)]
Headers = Annotated[dict[str, str], Field(max_length=20), AfterValidator(values.custom_headers)]


class Form(BaseModel):
    """What is not declared is refused, and nothing is guessed: "5" is no number."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AccountForm(Form):
    name: AccountName


class DomainsForm(Form):
    domains: Annotated[list[TrackingBase], Field(max_length=20), AfterValidator(values.distinct)] = Field(
        description="hosts, with https:// unless another scheme is given; the first is that of new links"
    )


class PrivacyForm(Form):
    """What is left out is as it is for a new account."""

    obey_signals: bool = Field(
        default=False, description="no address and no user agent is kept of readers who send Sec-GPC or DNT"
    )
    unregistered: Annotated[list[Id], Field(max_length=1000), AfterValidator(values.distinct)] = Field(
        default=[], description="mailings whose opens and clicks are not registered; unsubscribes are"
    )


class PasswordForm(Form):
    password: Password | None = Field(default=None, description="made for you, and shown once, where it is left out")


class UserForm(PasswordForm):
    name: UserName
    role: Role = Field(description="a viewer changes nothing")


class ProfileForm(Form):
    email: Email
    fields: Fields = {}
    interests: Words = []


class ProfileLine(ProfileForm):
    """A profile as a line of many."""

    id: Id


class MailingForm(Form):
    name: Label | None = None
    tags: Words = []


class TrackForm(Form):
    profile: Id
    mailing: Id
    message: Id | None = None
    links: Annotated[list[Annotated[str, AfterValidator(_destination)]], Field(max_length=MOST_LINKS)] = []
    html: str | None = Field(default=None, description="the mail: it comes back with its links tracked and a pixel")
    url_texts: bool = Field(default=False, description="links of `html` whose visible text is an address, too")


class HitForm(Form):
    """What a mail server told of a mail."""

    type: HitType
    at: Moment | None = Field(default=None, description="when it happened, RFC 3339; now, where it is left out")
    details: Fields = Field(default={}, description="`code`, `description`, ...: sent on under these names")


class HitLine(HitForm):
    """A hit of a mail that is known by its ids."""

    profile: Id
    mailing: Id
    message: Id | None = None


class HitByLink(HitForm):
    """A hit of a mail that is known by one of its tracking links, as a mail that comes back holds them."""

    link: Annotated[str, Field(max_length=9000)] = Field(description="the pixel, a link or the way out; or its token")


class FilterForm(Form):
    """Which events of its types a loop wants; empty lists of mailings and tags want all."""

    mailings: Annotated[list[Id], Field(max_length=1000)] = []
    tags: Words = Field(default=[], description="events of mailings with one of these")
    machine: bool = Field(default=True, description="whether opens and clicks by machines are wanted too")
    exclude_origins: Words = Field(default=[], description="changes that these made are not wanted")


class BatchForm(Form):
    """Several events in one POST, as a JSON array: until it is full, or the first of them has waited for `ms`."""

    events: Annotated[int, Field(ge=1, le=1000)] = Field(default=100, description="events in a POST, at most")
    bytes: Annotated[int, Field(ge=1024, le=524_288)] = Field(
        default=262_144, description="of its body, at most; an event that is larger goes alone"
    )
    ms: Annotated[int, Field(ge=10, le=10_000)] = Field(
        default=1000, description="milliseconds that an event waits for others, at most"
    )


class LoopFields(Form):
    """What a loop may leave to us."""

    format: Format = Field(default="form", description="how the body of a POST is written")
    filter: FilterForm = FilterForm()
    fields: Words | None = Field(default=None, description="the profile fields that are sent; all, where it is null")
    headers: Headers | None = Field(default=None, description="headers of your own, an Authorization say; kept sealed")
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = Field(default=None, description="POSTs a second, at most")
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="POSTs at once, at most"
    )
    ordered: bool = Field(default=False, description="one POST at a time of each profile, in the order of its events")
    batch: BatchForm | None = Field(
        default=None, description="several events a POST, as a JSON array; wants `format: json`, and not `ordered`"
    )
    signatures: Annotated[list[SignatureKind], AfterValidator(values.distinct)] = Field(
        default=[],
        description="beside `v1`: `v1a` (ed25519), `http` (an HTTP message signature as Copernica sends it)",
    )
    key_id: DnsName | None = Field(
        default=None, description="for `http`: the DNS name of the key's TXT record; a new one makes a new key"
    )


def not_batched(format: Format, ordered: bool) -> str | None:  # noqa: A002 (as it is called everywhere)
    """Why a loop like that gets no batches."""
    if format != "json":
        return "goes with format json alone: a form holds one event"
    if ordered:
        return "does not go with ordered: a batch holds events of many profiles, and one that fails would hold back all"
    return None


class LoopForm(LoopFields):
    """What a loop is made of."""

    name: Label = Field(description="for people")
    url: LoopUrl = Field(description="where the POSTs go; credentials belong into headers")
    events: Events

    @field_validator("batch")
    @classmethod
    def _batched(cls, batch: BatchForm | None, read: ValidationInfo) -> BatchForm | None:
        so_far = read.data
        if (
            batch
            and {"format", "ordered"} <= so_far.keys()
            and (wrong := not_batched(so_far["format"], so_far["ordered"]))
        ):
            raise ValueError(wrong)
        return batch


class LoopPatch(LoopFields):
    """What is left out stays as it is; what is given replaces the whole of what was."""

    name: Label = Field(default_factory=str)
    url: LoopUrl = Field(default_factory=str)
    events: Events = Field(default_factory=list)


class ReplayForm(Form):
    """Which past events are sent again; empty lists want all."""

    since: Moment = Field(alias="from", description="those written then or later, RFC 3339")
    until: Moment = Field(alias="to", description="and before then")
    types: Annotated[list[Event], AfterValidator(values.distinct)] = []
    mailings: Annotated[list[Id], Field(max_length=1000)] = []
    tags: Words = Field(default=[], description="events of mailings with one of these")
    profiles: Annotated[list[Id], Field(max_length=1000)] = []
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="deliveries a second, at most; without, 200"
    )
    dry_run: bool = Field(default=False, description="counts what would be sent, and sends nothing")

    @model_validator(mode="after")
    def _forward(self) -> "ReplayForm":
        if self.since >= self.until:
            raise ValueError("to: must be later than from")
        return self


class DeadForm(Form):
    """Which dead letters; those that fit all of it."""

    deliveries: Annotated[list[Id], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="these, by the `webhook-id` of their POSTs"
    )
    since: Moment | None = Field(default=None, alias="from", description="given up then or later, RFC 3339")
    until: Moment | None = Field(default=None, alias="to", description="and before then")
    reason: Reason | None = Field(default=None, description="words that the reason has in it")
    type: Event | None = None
    recipient: Recipient | None = None
    profile: Id | None = None
    message: Id | None = None
    event: Id | None = Field(default=None, description="the event's id")


class RedriveForm(DeadForm):
    """Which dead letters are sent once more; with nothing said, all of the loop."""

    rate: Annotated[float, Field(ge=0.01, le=100_000)] | None = Field(
        default=None, description="deliveries a second, at most; without, 200"
    )


class PurgeForm(DeadForm):
    """Which dead letters are forgotten."""

    all: bool = Field(default=False, description="all of the loop, where nothing else is said")
