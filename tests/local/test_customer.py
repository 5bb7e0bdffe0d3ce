"""The demo's customer: its own script knows its secret, and a loop that is made by hand finds a server in it."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest
import requests

from pipeline.local.customer import HOOK, Call, Customer


class Cast(NamedTuple):
    customer: Customer
    calls: "SimpleQueue[Call]"
    folder: Path

    def heard(self, count: int) -> list[Call]:
        """So many calls; who made them may have had the answer first."""
        return [self.calls.get(timeout=10) for _ in range(count)]


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    calls, folder = SimpleQueue[Call](), tmp_path / "site"
    customer = Customer(calls.put, folder)
    yield Cast(customer, calls, folder)
    customer.close()


def _get(cast: Cast, path: str) -> tuple[int, str]:
    answer = requests.get(cast.customer.origin + path, timeout=10)
    return answer.status_code, answer.text


def test_what_is_in_its_folder_stands_on_its_site_and_nothing_else(cast: Cast) -> None:
    assert _get(cast, "/loopwire-1.txt")[0] == 404
    cast.folder.mkdir()
    (cast.folder / "loopwire-1.txt").write_text("loopwire-one")
    (cast.folder / ".hidden").write_text("no")
    (cast.folder.parent / "secret").write_text("no")
    for path in ("/loopwire-1.txt", "/hooks/loopwire-1.txt"):
        assert _get(cast, path) == (200, "loopwire-one")
    for path in ("/.hidden", "/..%2fsecret", "/%2e%2e/secret", "/../secret", "/"):
        assert _get(cast, path)[0] == 404


def test_posts_are_taken_at_any_address_and_at_its_own_only_signed(cast: Cast) -> None:
    cast.customer.secret = "whsec_" + "A" * 43 + "="
    for path, headers, body, status in (
        (HOOK, {}, "type=open", 401),
        ("/in", {"content-type": "application/x-www-form-urlencoded"}, "type=open&recipient=jane", 200),
        ("/in", {"content-type": "application/json"}, '{"type":"open"}', 200),
    ):
        answer = requests.post(cast.customer.origin + path, body, headers=headers, timeout=10)
        assert answer.status_code == status
    assert [(one.path, one.verified, one.told) for one in cast.heard(3)] == [
        (HOOK, False, [("type", "open")]),
        ("/in", None, [("type", "open"), ("recipient", "jane")]),
        ("/in", None, [("", '{"type":"open"}')]),
    ]


def test_its_port_is_the_one_before_unless_somebody_has_it(cast: Cast) -> None:
    other = Customer(cast.calls.put, cast.folder, cast.customer.port)
    assert other.port != cast.customer.port
    other.close()
    again = Customer(cast.calls.put, cast.folder, other.port)
    assert again.port == other.port
    again.close()
