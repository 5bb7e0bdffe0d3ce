"""The pages in a real browser: nothing wider than the window, nothing axe objects to, no breach of our own policy."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.cast import Cast, cast

pytest.importorskip("playwright")

from tests.browser.screenshots import SCREENS, Screen, Theme, overflow, sign_in, tour, window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # else each element that passed is told, too: a third to a half of the time
}
DESK = SCREENS[0]
# Each size and each theme is gone through once; what may differ in the other theme is seen on the spot.
JUDGED = [screen for screen in SCREENS if screen.name in {"desk-light", "phone-dark"}]
THEMES: list[Theme] = ["light", "dark"]


@pytest.fixture
def one() -> Iterator[Cast]:
    with cast() as made:
        yield made


def judged(chromium: "Browser", screen: Screen, base: str) -> "Page":
    """A window whose pages `objections` looks at: with colours that are there at once."""
    return window(chromium, screen, base, reduced_motion="reduce")


def objections(page: "Page", screen: Screen) -> list[str]:
    """What axe objects to, and where the page is too wide: by the screen's theme, and by the other."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    wrong = [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]
    for theme in sorted(THEMES, key=lambda theme: theme == screen.theme):  # its own is the last, and stays
        page.emulate_media(color_scheme=theme)
        if wide := overflow(page):
            wrong.append(f"{wide} px too wide, {theme}")
    return wrong


@pytest.mark.parametrize("screen", JUDGED, ids=lambda screen: screen.name)
def test_every_page_fits_and_can_be_used_by_everyone(chromium: "Browser", one: Cast, screen: Screen) -> None:
    pytest.importorskip("axe_playwright_python")
    page, breaches = judged(chromium, screen, one.console.url), list[str]()
    page.on("console", lambda said: breaches.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda fault: breaches.append(str(fault)))
    wrong: dict[str, Any] = {}
    for name in tour(page, one):
        if found := objections(page, screen):
            wrong[name] = found
    assert (wrong, breaches) == ({}, [])


def test_all_of_it_works_without_a_script(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url, java_script_enabled=False)
    sign_in(page, one.key)
    page.get_by_role("button", name="Pause Shop, production").click()
    page.get_by_text("Shop, production is paused").wait_for()
    page.get_by_role("link", name="New loop").click()
    page.get_by_label("Name", exact=True).fill("Plain")
    page.get_by_label("Address", exact=True).fill(f"{one.site.url}/hooks/shop")
    page.get_by_label("click", exact=False).first.check()
    page.get_by_role("button", name="Update").click()
    assert "POST /hooks/shop" in page.get_by_label("The POST, form").inner_text()
    page.get_by_role("button", name="Create loop").click()
    page.get_by_text("Plain was created").wait_for()
    page.get_by_role("button", name="Check now").click()
    page.get_by_role("heading", name="The file was not found").wait_for()


def test_a_script_pauses_in_place_and_previews_as_one_types(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Pause Shop, production").click()
    page.get_by_role("button", name="Resume Shop, production").wait_for()
    page.get_by_label("Search loops").fill("stat")
    page.get_by_role("link", name="Newsletter statistics", exact=True).wait_for()
    assert page.get_by_role("link", name="Warehouse", exact=True).count() == 0
    assert page.evaluate("window.same")  # it is still the page that was loaded
    page.get_by_label("Search loops").blur()
    page.keyboard.press("n")
    page.wait_for_url("**/loops/new")
    page.get_by_label("Address", exact=True).fill("https://typed.example/in?x=1")
    page.get_by_text("Host: typed.example").first.wait_for()
    page.get_by_text("JSON", exact=True).last.click()
    page.get_by_label("Preview of").select_option("click")
    page.get_by_label("The POST, json").get_by_text('"type": "click"').wait_for()


def test_with_the_keyboard_the_content_is_a_step_away(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"


def test_a_theme_that_is_chosen_stays(chromium: "Browser", one: Cast) -> None:
    page = window(chromium, DESK, one.console.url)
    sign_in(page, one.key)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("summary[aria-label^=Account]").click()
    page.get_by_role("button", name="Dark").click()
    page.goto("/loops/new")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
