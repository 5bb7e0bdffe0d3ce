"""A customer makes a loop by the console alone, on the real line: from the sign-in to the last hour sent again."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.customer import Call, Customer
from tests.story.conftest import Sender, line_on
from tests.story.lines import Line
from tests.story.test_story import fetch, told, until

pytest.importorskip("playwright")

from playwright.sync_api import expect

from tests.browser.screenshots import sign_in, window
from tests.browser.test_pages import DESK

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PATIENCE_MS = 30_000  # as long as a busy machine may take from one stage to the next


@pytest.fixture
def line(kafka_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Each stage a process of its own, on the real broker."""
    with line_on(kafka_address, tmp_path_factory.mktemp("line")) as made:
        yield made


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    yield made
    made.close()


def _press(page: "Page", name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def _loop_is_made(page: "Page", customer: Customer) -> None:
    """By the form, up to the step that asks for the file."""
    page.get_by_role("link", name=re.compile("^New loop")).click()
    page.get_by_label("Name", exact=True).fill("Shop")
    page.get_by_label("Address", exact=True).fill(f"{customer.origin}/hooks/in.php")
    for kind in ("open", "click"):
        page.locator(f"input[name=events][value={kind}]").check()
    _press(page, "Create loop")
    page.wait_for_url("**/verify")


def _address_is_verified(page: "Page", customer: Customer) -> None:
    """Not before the file stands there, and the page shows what was fetched instead."""
    _press(page, "Check now")
    page.get_by_role("heading", name="The file was not found").wait_for()
    found = page.get_by_role("alert")
    expect(found).to_contain_text(f"{customer.origin}/hooks/")
    expect(found).to_contain_text("404")
    file = page.locator("a[download]").inner_text()
    customer.files[f"/hooks/{file}"] = page.locator("#file-content").inner_text()
    _press(page, "Check again")
    page.wait_for_url("**/test")


def _test_is_answered(page: "Page", customer: Customer) -> None:
    _press(page, "Send")
    page.get_by_role("heading", name="Your server answered 200").wait_for()
    assert [call.headers["webhook-id"][:5] for call in customer.calls] == ["test_"]


def _mail_is_opened_while_watched(page: "Page", sender: Sender, customer: Customer) -> Call:
    """The event and its POST come by themselves to a page that stays the one it was."""
    page.get_by_role("link", name="Live", exact=True).click()
    page.locator("#live-state.active").wait_for()
    page.evaluate("window.same = true")
    fetch(sender.mail()["open"])
    rows = page.locator("#live tbody tr").filter(has_text="jane@example.com").filter(has_text="open")
    rows.filter(has_text="Event").wait_for()
    rows.filter(has_text="200").filter(has_text="Shop").wait_for()
    assert page.evaluate("window.same")
    return customer.wait(told(2))[1]


def _its_attempt_is_sent_again(page: "Page", loop: str, customer: Customer, first: Call) -> None:
    """Under the id it had; the page that follows lists both."""
    page.goto(loop)
    page.get_by_role("link", name="Attempts", exact=True).click()
    rows = page.get_by_role("row").filter(has_text="jane@example.com")
    _loaded_until(page, rows, 1)
    rows.get_by_role("link").click()
    page.get_by_role("heading", name="open of jane@example.com").wait_for()
    expect(page.get_by_label("The request", exact=True)).to_contain_text(first.headers["webhook-id"])
    _press(page, "Send again")
    page.wait_for_url("**/attempts*")  # a reload before it follows would be refused
    again = customer.wait(told(3))[2]
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)
    _loaded_until(page, rows, 2)
    expect(rows.first).to_contain_text("again")


def _loaded_until(page: "Page", rows: "Locator", count: int) -> None:
    """What is recorded comes a moment after the POST: the page is loaded until it shows `count` rows."""

    def shown() -> bool:
        page.reload()
        return rows.count() == count

    until(shown)


def _it_is_paused_and_resumed_in_place(page: "Page") -> None:
    page.get_by_role("link", name="Loops", exact=True).first.click()
    page.evaluate("window.same = true")
    _press(page, "Pause Shop")
    page.get_by_text("Shop is paused").wait_for()
    _press(page, "Resume Shop")
    page.get_by_role("button", name="Pause Shop").wait_for()
    assert page.evaluate("window.same")


def _the_last_hour_is_sent_again(page: "Page", loop: str, customer: Customer, first: Call) -> None:
    """Counted first, then sent; the form begins with the last hour."""
    page.goto(f"{loop}/replays")
    _press(page, "Count first")
    page.get_by_text("1 delivery would be sent.").wait_for()
    before = len(customer.calls)
    _press(page, "Send 1")
    page.get_by_role("heading", name="Done").wait_for()
    expect(page.locator("#progress")).to_contain_text("1 sent.")
    replay = page.url.rpartition("/")[2]
    again = customer.wait(told(before + 1))[before]
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.headers["loopwire-replay"] == replay


@pytest.mark.timeout(120)
def test_a_customer_needs_nothing_but_the_console(chromium: "Browser", line: Line, customer: Customer) -> None:
    sender = Sender(line)
    sender.knows()
    page = window(chromium, DESK, line.settings.console_url)
    page.set_default_timeout(PATIENCE_MS)
    sign_in(page, sender.key)
    _loop_is_made(page, customer)
    loop = page.url.removesuffix("/verify")
    _address_is_verified(page, customer)
    _test_is_answered(page, customer)
    first = _mail_is_opened_while_watched(page, sender, customer)
    _its_attempt_is_sent_again(page, loop, customer, first)
    _it_is_paused_and_resumed_in_place(page)
    _the_last_hour_is_sent_again(page, loop, customer, first)
