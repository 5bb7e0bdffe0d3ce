"""The loop's page shows how its POSTs go at this moment."""

import re
from html import unescape

from pipeline.kafka.memory import Memory
from tests.console.attempting import prove
from tests.console.deliver import BROKEN, QUIET, deliver
from tests.console.running import TOPICS, running
from tests.console.visitor import Visitor, editor


def _part(one: Visitor, path: str) -> str:
    answer = one.get(path)
    assert answer.status_code == 200, answer.text
    found = re.search(r'<section class="card" id="lane".*?</section>', answer.text, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split()) if found else ""


def test_a_loop_s_page_shows_its_lane_and_a_part_of_it_alone_is_asked_for_again() -> None:
    with deliver() as told, running(memory := Memory(TOPICS), metrics_port=told.metrics_port) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        one = editor(console, key)
        told.lanes[loop] = QUIET
        assert _part(one, f"/loops/{loop}") == (
            "Right now Open for all In flight 3 of 8 at once Pace as fast as your server answers"
            " Waiting 0 Held so far 0"
        )
        told.lanes[loop] = BROKEN
        assert _part(one, f"/loops/{loop}/lane") == (
            "Right now Your server does not answer: one POST now and then looks whether it does"
            " In flight 0 of 1 at once Pace 12.5 a second Waiting 40 oldest due 7.2 s ago Held so far 1,234"
        )
        assert "<html" not in one.get(f"/loops/{loop}/lane").text


def test_where_deliver_is_not_reached_the_page_says_so_and_goes_on_asking() -> None:
    with running(memory := Memory(TOPICS), metrics_port=1) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        one = editor(console, key)
        assert "is not known here" in _part(one, f"/loops/{loop}")
        assert f'data-poll="/loops/{loop}/lane"' in one.get(f"/loops/{loop}/lane").text


def test_a_loop_of_another_account_has_no_lane_to_look_at() -> None:
    with deliver() as told, running(Memory(TOPICS), metrics_port=told.metrics_port) as console:
        loop = console.loop(console.account("acme"))["id"]
        told.lanes[loop] = QUIET
        other = editor(console, console.account("other"))
        assert other.get(f"/loops/{loop}/lane").status_code == 404
