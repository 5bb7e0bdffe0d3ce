"""What may be asked of the store: the parameters behind the question mark, each checked by itself."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.console.forms import Event, Id, Reason, Recipient
from pipeline.console.store import cursor

MOST_ROWS = 250


def moment(text: object) -> datetime:
    """A time of RFC 3339; ValueError for anything else."""
    try:
        found = datetime.fromisoformat(str(text)) if "T" in str(text).upper() else None
        in_utc = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None or not 1970 <= in_utc.year < 3000:
        raise ValueError("must be a time such as 2026-03-20T09:15:00Z (a + in a query is written %2B)")
    return in_utc


def _cursor(text: str) -> str:
    cursor.read(text)
    return text


Moment = Annotated[datetime, BeforeValidator(moment)]
Since = Annotated[Moment | None, Field(alias="from")]
Until = Annotated[Moment | None, Field(alias="to")]


class Question(BaseModel):
    """A parameter that is not known is refused; one that is empty is as good as not given, as forms send them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:  # noqa: ANN401 (pydantic's)
        return {name: value for name, value in values.items() if value != ""} if isinstance(values, dict) else values


class AttemptsAsked(Question):
    """Which attempts."""

    state: Literal["delivered", "retrying", "dead", "failed"] | None = Field(
        None, description="`failed` is `retrying` and `dead` together"
    )
    type: Event | None = Field(None, description="the event's type")
    since: Since = Field(None, description="not before this time")
    until: Until = Field(None, description="before this time")
    recipient: Recipient | None = Field(None, description="the address the mail went to, upper and lower case alike")
    profile: Id | None = None
    message: Id | None = None
    event: Id | None = Field(None, description="the event's id")
    delivery: Id | None = Field(None, description="the delivery's id, `webhook-id` of its POSTs")
    limit: int = Field(50, ge=1, le=MOST_ROWS, description="how many at most")
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_cursor)] | None = Field(
        None, description="`next_cursor` of the page before"
    )


class DeadAsked(Question):
    """Which dead letters."""

    since: Since = Field(None, description="given up not before this time")
    until: Until = Field(None, description="and before this time")
    reason: Reason | None = Field(None, description="words that the reason has in it, upper and lower case alike")
    type: Event | None = Field(None, description="the event's type")
    recipient: Recipient | None = Field(None, description="the address the mail went to, upper and lower case alike")
    profile: Id | None = None
    message: Id | None = None
    event: Id | None = Field(None, description="the event's id")
    limit: int = Field(50, ge=1, le=MOST_ROWS, description="how many at most")
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_cursor)] | None = Field(
        None, description="`next_cursor` of the page before"
    )


class StatsAsked(Question):
    """Which stretch of time, cut into which steps."""

    since: Since = Field(None, description="rounded down to a whole step; 24 hours before `to`")
    until: Until = Field(None, description="rounded up to a whole step; now")
    step: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[mhd]$")] | None = Field(
        None, description="such as `5m`, `1h`, `1d`; chosen so that there are about 100 points at most"
    )
