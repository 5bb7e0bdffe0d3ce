"""Which word means which shape: the one table of what the topics' values are called."""

from typing import Any

from pipeline.model.accounts import Account
from pipeline.model.deliveries import Attempt, Delivery
from pipeline.model.events import Event
from pipeline.model.hits import AnyHit
from pipeline.model.loops import AnyState, Loop
from pipeline.model.mailings import Mailing
from pipeline.model.profiles import Profile
from pipeline.model.replays import AnyReplay

CONTRACTS: dict[str, Any] = {
    "hit.v1": AnyHit,
    "profile.v1": Profile,
    "mailing.v1": Mailing,
    "event.v1": Event,
    "account.v1": Account,
    "loop.v1": Loop,
    "loop-state.v1": AnyState,
    "replay.v1": AnyReplay,
    "delivery.v1": Delivery,
    "attempt.v1": Attempt,
}

# What other services may build on: a breaking change to one of these needs a new number.
RELEASED = frozenset({"hit.v1", "profile.v1", "mailing.v1", "event.v1"})
