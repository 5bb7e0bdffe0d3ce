"""Live, Recipients and System in a real browser: rows come by themselves, wait while paused, and fit every window."""

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.console import pulse
from pipeline.kafka.memory import Memory
from tests.browser.cast import Cast

pytest.importorskip("playwright")

from tests.browser.screenshots import Screen, sign_in, window
from tests.browser.test_pages import DESK, JUDGED, judged, objections, one
from tests.conftest import free_port
from tests.console.away import Away
from tests.console.deliver import BROKEN, QUIET
from tests.console.running import ADMIN, TOPICS, running
from tests.console.test_pages_recipients import put_attempt, put_event

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["one"]


def _happen(cast: Cast) -> None:
    put_event(cast.memory, mailing="spring-sale", recipient=f"{'a.long.address' * 4}@example.com", machine=True)
    more: dict[str, Any] = {"recipient": "jane@example.com", "error": "could not connect: Connection refused"}
    put_attempt(cast.memory, loop=cast.loops["shop"], outcome="dead", status=None, **more)
    put_attempt(cast.memory, loop=cast.loops["crm"], recipient="jane@example.com")


@pytest.mark.parametrize("screen", JUDGED, ids=lambda screen: screen.name)
def test_they_fit_and_can_be_used_by_everyone(chromium: "Browser", one: Cast, screen: Screen) -> None:
    pytest.importorskip("axe_playwright_python")
    page, wrong = judged(chromium, screen, one.console.url), list[Any]()
    page.on("pageerror", lambda fault: wrong.append(str(fault)))
    sign_in(page, one.key)

    def look(name: str) -> None:
        wrong.extend((name, screen.name, what) for what in objections(page, screen))

    page.goto("/watch")
    page.locator("#live-state.active").wait_for()
    look("live, empty")
    _happen(one)
    page.locator("#live tbody tr").nth(2).wait_for()
    look("live")
    page.get_by_role("link", name="jane@example.com").first.click()
    page.get_by_role("heading", name="click").first.wait_for()
    look("recipients")
    page.goto("/recipients?q=nobody")
    look("recipients, none")
    page.context.clear_cookies()
    page.goto("/login")
    page.get_by_label("API key").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="System").wait_for()
    look("system")
    assert wrong == []


def test_what_comes_while_paused_waits(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    page.goto("/watch?kind=events")
    page.locator("#live-state.active").wait_for()
    page.keyboard.press("p")
    _happen(one)
    page.get_by_text("Paused, 1 waiting").wait_for()
    assert page.locator("#live tbody tr").count() == 0
    page.get_by_role("button", name="Go on").click()
    page.locator("#live tbody tr").wait_for()


def test_a_loop_s_page_shows_its_lane_as_it_changes(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    page.goto(f"/loops/{one.loops['shop']}")
    page.evaluate("window.same = true")
    lane = page.locator("#lane")
    lane.get_by_text("Open for all").wait_for()
    lane.get_by_text("3 of 8 at once").wait_for()
    one.deliver.lanes[one.loops["shop"]] = BROKEN
    lane.get_by_text("Your server does not answer").wait_for()
    assert " ".join(lane.locator("dl").inner_text().split()).lower() == (
        "in flight 0 of 1 at once pace 12.5 a second waiting 40 oldest due 7.2 s ago held so far 1,234"
    )
    one.deliver.lanes.clear()  # its process is gone
    lane.get_by_text("is not known here").wait_for()
    one.deliver.lanes[one.loops["shop"]] = QUIET
    lane.get_by_text("Open for all").wait_for()
    assert page.evaluate("window.same")


def test_who_signs_out_elsewhere_is_told(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    page.goto("/watch")
    page.locator("#live-state.active").wait_for()
    other = page.context.new_page()
    other.goto("/loops")
    other.locator("summary[aria-label^=Account]").click()
    other.get_by_role("button", name="Sign out").click()
    page.get_by_text("Signed out. Load the page again.").wait_for()


def test_a_watcher_is_told_that_kafka_is_gone_and_misses_nothing(
    chromium: "Browser", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(pulse, "PATIENCE_SECONDS", 0.2)
    memory = Away(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        page = window(chromium, DESK, console.url)
        sign_in(page, key)
        page.goto("/watch")
        page.locator("#live-state.active").wait_for()
        page.evaluate("window.same = true")
        memory.here.clear()
        page.locator("#live-state.failed").wait_for()
        page.get_by_text("Kafka does not answer, so nothing new is known").wait_for()
        put_event(memory, mailing="written-meanwhile")
        assert page.locator("#live tbody tr").count() == 0
        memory.here.set()
        page.locator("#live-state.active").wait_for()
        page.locator("#live tbody tr").filter(has_text="written-meanwhile").wait_for()
        assert page.locator("#live-away").is_hidden()
        assert page.evaluate("window.same")


def test_a_console_that_starts_again_is_watched_again(chromium: "Browser") -> None:
    memory, port = Memory(TOPICS), free_port()
    with running(memory, console_port=port) as console:
        key = console.account("acme")
        page = window(chromium, DESK, console.url)
        sign_in(page, key)
        page.goto("/watch")
        page.locator("#live-state.active").wait_for()
        page.evaluate("window.same = true")
    page.get_by_text("Connecting…").wait_for()
    with running(memory, console_port=port):
        page.locator("#live-state.active").wait_for()
        put_event(memory, mailing="after-the-restart")
        page.locator("#live tbody tr").filter(has_text="after-the-restart").wait_for()
        assert page.evaluate("window.same")
        page.goto("about:blank")
