"""Every page as a browser draws it, by day and by night, on a desk and in a hand.

`python -m tests.browser.screenshots FOLDER`; without a folder they go into `build/screenshots`. Needs Playwright and a
Chromium: the one that LOOPWIRE_TEST_CHROMIUM names, or Debian's.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.cast import PASSWORD, Cast, cast

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
    page.goto(f"/loops/{one.loops['shop']}/verify")
    yield "viewer-verify"
    page.goto("/loops/new")
    yield "viewer-403"
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
    page.goto("/nothing")
    yield "404"


def main(folder: Path) -> None:
    """All of them; a page wider than its window ends it."""
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
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots"))
