"""What others wrote is shown as it was written, and stays in its place: names, addresses, agents, errors, answers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pipeline.kafka.memory import Memory
from tests.console.attempting import attempt, attempts, event, prove
from tests.console.dying import bury, letters
from tests.console.running import TOPICS, Console, running

pytest.importorskip("playwright")

from tests.browser.screenshots import SCREENS, Screen, overflow, sign_in, window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCRIPT = "\"><img src=x onerror='window.hacked=1'><script>window.hacked=1</script>{{7*7}}</textarea>"
LONG = "https://a-rather-long-host.of-a-customer.example/" + "path/" * 60 + "in?token=" + "x" * 300
NARROW = SCREENS[1]._replace(width=360)


class Cast(NamedTuple):
    console: Console
    memory: Memory
    key: str
    loops: list[str]

    def happen(self) -> None:
        told = event(self.memory, useragent=SCRIPT, recipient=f"{SCRIPT}@example.com", url=LONG, client=SCRIPT)
        for loop in self.loops:
            attempt(
                self.memory, loop, told, "dead", recipient=f"{SCRIPT}@example.com", error=SCRIPT * 3, response=SCRIPT
            )


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        names = (SCRIPT, "W" * 200, "Words without an end " * 9)
        loops = [console.loop(key, name=name, url=LONG)["id"] for name in names]
        for loop in loops:
            prove(console, memory, key, loop)
        made = Cast(console, memory, key, loops)
        made.happen()
        for loop in loops:
            bury(memory, loop, "msg_1", reason=SCRIPT * 3, recipient=f"{SCRIPT}@example.com", type=SCRIPT)
            bury(memory, loop, "msg_2", reason="W" * 400, recipient="w" * 300)
            attempts(console, key, loop)
            letters(console, key, loop, 2)
        yield made


@pytest.mark.parametrize("screen", [SCREENS[0], NARROW], ids=["desk", "narrow"])
def test_nothing_that_was_written_runs_or_breaks_a_page(chromium: "Browser", cast: Cast, screen: Screen) -> None:
    page, wrong = window(chromium, screen, cast.console.url), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda fault: wrong.append(str(fault)))
    sign_in(page, cast.key)

    def look(name: str) -> None:
        if page.evaluate("window.hacked"):
            wrong.append(f"{name}: a script ran")
        if wide := overflow(page):
            wrong.append(f"{name} is {wide} px too wide")

    look("loops")
    _type_it(page)
    look("new")
    for loop in cast.loops:
        for path in ("", "/attempts", "/settings", "/verify", "/test", "/replays", "/history", "/dead", "/dead/msg_1"):
            page.goto(f"/loops/{loop}{path}")
            look(f"loop{path}")
        page.goto(f"/loops/{loop}/attempts")
        page.locator("tbody a").first.click()
        page.get_by_text("webhook-id").wait_for()
        look("attempt")
    for path in ("/recipients?q=jane", f"/recipients?q={SCRIPT}", f"/loops?q={SCRIPT}", f"/watch?who={SCRIPT}"):
        page.goto(path)
        look(path)
    page.goto("/watch")
    page.locator("#live-state.active").wait_for()
    before = page.locator("#live tbody tr").count()
    cast.happen()
    page.locator("#live tbody tr").nth(before + len(cast.loops)).wait_for()
    look("live")
    if screen is not NARROW:
        narrow = page.locator("#live tbody a").evaluate_all("all => Math.min(...all.map(one => one.offsetWidth))")
        assert narrow >= 60, "no column is squeezed to a letter"
    assert sorted(set(wrong)) == []


def _type_it(page: "Page") -> None:
    """What is typed comes back in the preview, and with what was wrong."""
    page.goto("/loops/new")
    page.get_by_label("Address", exact=True).fill("https://typed.example/in")
    page.get_by_text("Host: typed.example").first.wait_for()
    page.get_by_label("Name", exact=True).fill(SCRIPT)
    page.get_by_label("Address", exact=True).fill(f"ftp://{SCRIPT}")
    page.get_by_role("button", name="Create loop").click()
    page.get_by_text("Not created yet").wait_for()
