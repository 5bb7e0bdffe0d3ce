"""Dead letters in a real browser: they fit every window, all can use them, and what is ticked is what is redriven."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pipeline.kafka.memory import Memory
from tests.console.attempting import prove
from tests.console.dying import bury, letters
from tests.console.running import TOPICS, Console, rows, running

pytest.importorskip("playwright")

from tests.browser.screenshots import Screen, sign_in, window
from tests.browser.test_pages import DESK, JUDGED, judged, objections

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Cast(NamedTuple):
    console: Console
    memory: Memory
    key: str
    loop: str


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        more: dict[str, Any] = {"signatures": ["v1a", "http"], "key_id": "loopwire._domainkey.sender.example"}
        loop = console.loop(key, **more)["id"]
        prove(console, memory, key, loop)
        for number in range(4):
            bury(memory, loop, f"msg_{number}", recipient=f"{'long.' * number * 9}jane@mail.example")
        memory.producer().produce("deliveries-dead", b"{", f"{loop}/deliveries-0-7".encode())
        letters(console, key, loop, 5)
        yield Cast(console, memory, key, loop)


@pytest.mark.parametrize("screen", JUDGED, ids=lambda screen: screen.name)
def test_they_fit_and_can_be_used_by_everyone(chromium: "Browser", cast: Cast, screen: Screen) -> None:
    pytest.importorskip("axe_playwright_python")
    page, wrong = judged(chromium, screen, cast.console.url), list[Any]()
    page.on("pageerror", lambda fault: wrong.append(str(fault)))
    sign_in(page, cast.key)

    def look(name: str) -> None:
        wrong.extend((name, what) for what in objections(page, screen))

    home = f"/loops/{cast.loop}"
    page.goto(f"{home}/dead")
    page.get_by_text("Forget them for good").click()
    look("dead")
    for path in (
        "/dead?from=nonsense",
        "/dead?reason=none like it",
        "/dead/msg_3",
        "/dead/deliveries-0-7",
        "/settings",
        "",
    ):
        page.goto(home + path)
        look(path or "overview, with keys")
    assert wrong == []


def test_enter_at_a_tick_purges_nothing(chromium: "Browser", cast: Cast) -> None:
    cast.console.call("PATCH", f"/v1/loops/{cast.loop}", cast.key, json={"url": "https://moved.example/in"})
    page = window(chromium, DESK, cast.console.url)
    sign_in(page, cast.key)
    page.goto(f"/loops/{cast.loop}/dead")
    tick = page.get_by_role("checkbox", name="msg_1")
    tick.check()
    tick.press("Enter")
    page.get_by_text("Forget them for good").click()
    page.get_by_role("button", name="Purge the ticked").wait_for()
    assert tick.is_checked()
    assert len(letters(cast.console, cast.key, cast.loop)) == 5


def test_what_is_ticked_is_redriven_and_the_rest_purged(chromium: "Browser", cast: Cast) -> None:
    page = window(chromium, DESK, cast.console.url)
    sign_in(page, cast.key)
    page.goto(f"/loops/{cast.loop}/dead")
    page.get_by_role("checkbox", name="msg_1").check()
    page.get_by_role("checkbox", name="msg_2").check()
    page.get_by_role("button", name="Redrive the ticked").click()
    page.get_by_text("2 dead letters are on the way again").wait_for()
    assert len(rows(cast.memory, "deliveries-retry-5s")) == 2
    page.get_by_text("Forget them for good").click()
    page.get_by_role("button", name="Purge all 3").click()
    page.get_by_text("3 dead letters are purged").wait_for()
    page.get_by_role("heading", name="No dead letters").wait_for()
