"""The sample event of each type that a loop may ask for can be told, in both formats."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from pipeline.console import trial
from pipeline.console.forms import Event as Asked
from pipeline.console.forms import LoopEvent
from pipeline.console.seals import Seals
from pipeline.deliver.body import body_of, names
from pipeline.deliver.notices import Notice, notice
from pipeline.model.deliveries import Timings
from pipeline.model.events import Event, EventType
from pipeline.model.loops import Format, Loop, LoopState, Reason, Secret
from pipeline.outbound import Answer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
SEALS = Seals(b"m" * 32, bytes)


def _loop(event: str) -> Loop:
    return Loop(
        id="lp_a",
        account="acme",
        name="shop",
        url="https://shop.example/in",
        events=[event],
        file="f",
        content="c",
        created_at=NOW,
        secrets=[Secret(sealed=SEALS.close("lp_a", "whsec_AAAA"), created=NOW)],
    )


@pytest.mark.parametrize("event", [name for literal in get_args(Asked) for name in get_args(literal) or (literal,)])
@pytest.mark.parametrize("form", get_args(Format))
def test_every_event_has_a_sample(event: str, form: Format) -> None:
    sample = trial.sample(_loop(event), "e1", NOW)
    kind, body = body_of(names(sample), form)
    assert (sample.type, sample.id, sample.account, bool(kind and body)) == (event, "e1", "acme", True)


def test_the_table_of_samples_has_every_type() -> None:
    assert set(trial.OF_TYPE) == set(get_args(EventType))
    assert set(trial.OF_NOTICE) == set(get_args(LoopEvent))


@pytest.mark.parametrize("kind", get_args(Notice))
def test_the_sample_of_a_notice_is_told_as_a_notice_is(kind: Notice) -> None:
    about = trial.OF_NOTICE[kind]
    made = msgspec.json.decode(notice(kind, _loop(kind), NOW, 1, **about).value or b"", type=Event)
    told, sample = names(made), names(trial.sample(_loop(kind), "e1", NOW))
    assert list(sample) == list(told)
    assert {name: sample[name] for name in about} == about


def test_the_post_is_one_of_our_own_making() -> None:
    post = trial.post(_loop("open"), SEALS, NOW)
    assert (post.delivery.id, post.events[0].id) == ("test_" + "00" * 16, "019b7ca9-8f2e-7000-8000-000000000000")
    assert (post.loop.url, post.at) == ("https://shop.example/in", NOW.timestamp())


PROVED = {"verified_url": "https://shop.example/in", "epoch": 1}


@pytest.mark.parametrize(
    ("changed", "reason", "refused"),
    [
        ({}, None, True),
        ({"verified_url": "https://shop.example/old", "epoch": 1}, None, True),
        (PROVED, None, False),
        (PROVED | {"paused": True}, None, False),
        (PROVED, "gone", False),
        (PROVED, "failing", False),
        (PROVED, "ownership", True),
        (PROVED | {"epoch": 2}, "ownership", False),
    ],
)
def test_only_a_proved_address_is_tried(changed: dict[str, Any], reason: Reason | None, *, refused: bool) -> None:
    found = LoopState(loop="lp_a", epoch=1, reason=reason, at=NOW) if reason else None
    assert (trial.refusal(replace(_loop("open"), **changed), found) is not None) == refused


def test_an_answer_is_shown_with_its_milliseconds() -> None:
    answer = Answer(200, b"o\xffk", timings=Timings(total=12.345))
    assert trial.shown(answer).model_dump() == {"status": 200, "ms": 12.3, "response": "o�k", "error": None}
