"""Every page as a browser draws it, by day and by night, on a desk and in a hand.

`python -m tests.browser.screenshots FOLDER`; without a folder, those few that the README shows, into
`deploy/screenshots`. Needs Playwright and a Chromium: the one that LOOPWIRE_TEST_CHROMIUM names, or Debian's.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.cast import PASSWORD, Cast, cast
from tests.console.running import ADMIN

CHROMIUM = os.environ.get("LOOPWIRE_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--headless", "--disable-quic", "--disable-background-networking"]
Theme = Literal["light", "dark"]


class Screen(NamedTuple):
    """A browser's window, and what its system prefers."""

    name: str
    width: int
    height: int
    theme: Theme


SCREENS = [
    Screen(f"{name}-{theme}", width, height, theme)
    for theme in ("light", "dark")
    for name, width, height in (("desk", 1280, 860), ("phone", 390, 844))
]
PICTURE = Screen("readme", 1280, 800, "light")
PICTURES = Path(__file__).parents[2] / "deploy" / "screenshots"
MOST_BYTES = 150_000


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium that reaches nothing but this machine's consoles."""
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield one
        one.close()


def window(one: Browser, screen: Screen, base: str, **more: Any) -> Page:
    """A new window, signed in nowhere."""
    known = {"viewport": {"width": screen.width, "height": screen.height}, "color_scheme": screen.theme}
    return one.new_context(**known, base_url=base, **more).new_page()  # type: ignore[arg-type]


def sign_in(page: Page, key: str) -> None:
    """By the account's key."""
    page.goto("/login")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/loops")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def tour(page: Page, one: Cast) -> Iterator[str]:
    """Goes from page to page; each name it yields is what is shown then."""
    page.goto("/login?by=user")
    yield "login-user"
    page.goto("/login")
    yield "login"
    sign_in(page, one.empty)
    yield "loops-empty"
    page.context.clear_cookies()
    page.goto("/login?by=user")
    for label, typed in (("Account", "acme"), ("Name", one.viewer), ("Password", PASSWORD)):
        page.get_by_label(label, exact=True).fill(typed)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/loops")
    yield "viewer-loops"
    for name, path in (
        ("verify", f"/loops/{one.loops['shop']}/verify"),
        ("403", "/loops/new"),
        ("choices", "/settings"),
    ):
        page.goto(path)
        yield f"viewer-{name}"
    page.context.clear_cookies()
    sign_in(page, one.key)
    yield "loops"
    page.locator("summary[aria-label^=Account]").click()
    yield "menu"
    page.goto("/loops?q=nothing like it")
    yield "loops-none-found"
    page.goto("/loops/new")
    yield "new"
    page.get_by_label("Name", exact=True).fill("Shop, test")
    page.get_by_label("Address", exact=True).fill("ftp://shop.example/in")
    page.get_by_role("button", name="Create loop").click()
    yield "new-wrong"
    page.get_by_label("Address", exact=True).fill(f"{one.site.url}/hooks/test.php")
    page.get_by_role("button", name="Create loop").click()
    page.wait_for_url("**/verify")
    yield "verify-secret"
    page.get_by_role("button", name="Check now").click()
    page.get_by_role("heading", name="The file was not found").wait_for()
    yield "verify-failed"
    page.goto(f"/loops/{one.loops['shop']}/test")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("status").wait_for()
    yield "test-answered"
    for word in ("shop", "crm", "warehouse", "new"):
        page.goto(f"/loops/{one.loops[word]}")
        yield f"loop-{word}"
    page.goto(f"/loops/{one.loops['warehouse']}/settings")
    yield "settings"
    yield from _of_a_loop(page, f"/loops/{one.loops['shop']}")
    page.goto("/nothing")
    yield "404"
    yield from _beyond_loops(page)


def _beyond_loops(page: Page) -> Iterator[str]:
    """What happens, to whom, and how the installation stands."""
    page.goto("/watch")
    page.locator("#live-state.active").wait_for()
    yield "live"
    page.goto("/recipients?q=jane@mail.example")
    yield "recipients"
    page.goto("/recipients")
    yield "recipients-none-asked"
    page.goto("/settings")
    page.get_by_label("Mailings that register nothing").fill("works-council\nspring sale")
    page.get_by_role("button", name="Save").click()
    yield "choices-wrong"
    page.get_by_label("Mailings that register nothing").fill("works-council")
    page.get_by_label("Keep less of readers").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()
    yield "choices"
    page.context.clear_cookies()
    page.goto("/login")
    page.get_by_label("API key").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="System").wait_for()
    yield "system"
    page.get_by_role("link", name="acme").click()
    page.get_by_label("Domains", exact=True).fill("t.acme.example\nftp://t.acme.example")
    page.get_by_role("button", name="Save").click()
    yield "domains-wrong"
    page.get_by_label("Domains", exact=True).fill("t.acme.example\nhttp://links.acme.example:8080")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()
    yield "domains"


def _of_a_loop(page: Page, shop: str) -> Iterator[str]:
    """The tabs of a loop, and what they lead to."""
    page.goto(f"{shop}/attempts")
    yield "attempts"
    page.goto(f"{shop}/attempts?from=nonsense")
    yield "attempts-wrong"
    page.goto(f"{shop}/attempts?recipient=nobody@mail.example")
    yield "attempts-none-found"
    page.goto(f"{shop}/attempts")
    page.locator("tbody a").first.click()
    page.get_by_text("webhook-id").wait_for()
    yield "attempt"
    page.goto(f"{shop}/attempts?state=dead")
    page.locator("tbody a").first.click()
    page.get_by_text("failed for good").wait_for()
    yield "attempt-dead"
    page.goto(f"{shop}/dead")
    yield "dead"
    page.locator("tbody a").first.click()
    page.get_by_text("Failed attempts").wait_for()
    yield "dead-letter"
    page.goto(f"{shop}/replays")
    yield "replays"
    page.get_by_label("POSTs a second").fill("many")
    page.get_by_role("button", name="Count first").click()
    yield "replays-wrong"
    page.get_by_label("POSTs a second").fill("20")
    page.get_by_role("button", name="Count first").click()
    page.wait_for_url("**/rp_*")
    yield "replay"
    page.goto(f"{shop}/replays")
    yield "replays-listed"
    page.goto(f"{shop}/history")
    yield "history"


def shown(page: Page, one: Cast) -> Iterator[str]:
    """What the README shows of it, as `tour` does."""
    sign_in(page, one.key)
    page.get_by_role("link", name="Shop, production").wait_for()
    yield "loops"
    page.goto(f"/loops/{one.loops['shop']}")
    yield "loop"
    page.goto(f"/loops/{one.loops['shop']}/attempts?type=click")
    page.locator("tbody a").first.click()
    page.get_by_text("webhook-id").wait_for()
    yield "attempt"
    page.goto("/loops/new")
    page.get_by_label("Name", exact=True).fill("Shop, production")
    page.get_by_label("Address", exact=True).fill("https://shop.example/hooks/in.php")
    page.get_by_text("Host: shop.example").first.wait_for()
    page.get_by_label("Address", exact=True).blur()
    yield "new-loop"


def readme() -> None:
    """The README's, small enough to be kept with the source."""
    PICTURES.mkdir(exist_ok=True)
    with browser() as chromium, cast("https://shop.example") as one:
        page = window(chromium, PICTURE, one.console.url)
        for name in shown(page, one):
            picture = page.screenshot(path=PICTURES / f"{name}.png")
            if len(picture) > MOST_BYTES:
                sys.stderr.write(f"{name} has {len(picture)} bytes, more than {MOST_BYTES}\n")


def every(folder: Path) -> None:
    """All of them; of a page wider than its window it is said."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        for screen in SCREENS:
            with cast() as one:
                page = window(chromium, screen, one.console.url)
                for name in tour(page, one):
                    page.screenshot(path=folder / f"{name}-{screen.name}.png", full_page=name != "menu")
                    if wide := overflow(page):
                        sys.stderr.write(f"{name} on {screen.name} is {wide} px too wide\n")


if __name__ == "__main__":
    every(Path(sys.argv[1])) if len(sys.argv) > 1 else readme()
