"""Which loops want an event."""

from typing import Any

import msgspec
import pytest

from pipeline.model.loops import Loop
from pipeline.route.matching import Matter, wants
from tests.examples import example


def _wants(filter_: dict[str, Any], event: dict[str, Any], events: tuple[str, ...] = ("open", "click")) -> bool:
    loop = msgspec.convert(example("loop.v1", "active") | {"filter": filter_, "events": list(events)}, Loop)
    base = {"id": "1", "type": "open", "account": "shop", "mailing": "spring-sale", "tags": ["sale", "spring"]}
    return wants(loop, msgspec.convert(base | event, Matter))


@pytest.mark.parametrize(
    ("filter_", "event", "wanted"),
    [
        ({}, {}, True),
        ({}, {"type": "click"}, True),
        ({}, {"type": "bounce"}, False),
        ({}, {"type": "Open"}, False),
        ({}, {"mailing": None, "tags": None}, True),
        ({"mailings": ["spring-sale"]}, {}, True),
        ({"mailings": ["summer", "spring-sale"]}, {}, True),
        ({"mailings": ["spring"]}, {}, False),
        ({"mailings": ["spring-sale"]}, {"mailing": None}, False),
        ({"tags": ["spring"]}, {}, True),
        ({"tags": ["autumn", "sale"]}, {}, True),
        ({"tags": ["autumn"]}, {}, False),
        ({"tags": ["spring"]}, {"tags": None}, False),
        ({"tags": ["spring"]}, {"tags": []}, False),
        ({"tags": ["spring"], "mailings": ["summer"]}, {}, False),
        ({"machine": True}, {"machine": True}, True),
        ({"machine": False}, {"machine": True}, False),
        ({"machine": False}, {"machine": False}, True),
        ({"machine": False}, {"machine": None}, True),
        ({"exclude_origins": ["crm"]}, {"origin": "crm"}, False),
        ({"exclude_origins": ["crm"]}, {"origin": "shop"}, True),
        ({"exclude_origins": ["crm"]}, {"origin": None}, True),
        ({"exclude_origins": []}, {"origin": "crm"}, True),
    ],
)
def test_types_and_filter_decide(filter_: dict[str, Any], event: dict[str, Any], wanted: bool) -> None:
    assert _wants(filter_, event) is wanted


def test_a_loop_that_asks_for_no_type_gets_none() -> None:
    assert _wants({}, {}, events=()) is False


def test_a_type_of_tomorrow_can_be_asked_for() -> None:
    assert _wants({}, {"type": "reply"}, events=("reply",)) is True


def test_a_notice_of_a_loop_is_for_the_others_and_no_filter_is_about_it() -> None:
    told = {"type": "loop.disabled", "mailing": None, "tags": None, "profile": "lp_other"}
    asked = ("loop.disabled",)
    assert _wants({"mailings": ["spring"], "tags": ["sale"]}, told, asked) is True
    assert _wants({}, told, ("loop.failing", "open")) is False
    assert _wants({}, told | {"profile": "lp_7h3k"}, asked) is False
