"""One browser for all tests; where there is none, they are skipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """A Chromium, started once."""
    pytest.importorskip("playwright")
    from tests.browser.screenshots import CHROMIUM, browser

    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with browser() as one:
        yield one
