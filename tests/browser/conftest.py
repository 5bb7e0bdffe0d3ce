"""One browser for a file of tests; where there is none, they are skipped."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A Chromium. Not for the whole run: while Playwright is there, an event loop runs on the main thread."""
    pytest.importorskip("playwright")
    from tests.browser.screenshots import CHROMIUM, browser

    if not Path(CHROMIUM).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {CHROMIUM}")
    with browser() as one:
        yield one
