"""Replays by hand: counted first, then sent, followed, cancelled; and who changed what."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.kafka.memory import Memory
from pipeline.model.replays import Progress, Replay, progress_key
from tests.console.attempting import event, prove, until
from tests.console.running import TOPICS, Console, rows, running
from tests.console.visitor import Visitor, editor, viewer

FORM = {"from": "2026-03-20T09:00", "to": "2100-01-01T00:00", "types": "click", "mailings": "a, b", "rate": "20"}


class Cast(NamedTuple):
    console: Console
    memory: Memory
    visitor: Visitor
    key: str
    loop: str

    @property
    def path(self) -> str:
        return f"/loops/{self.loop}/replays"

    def get(self, path: str) -> str:
        answer = self.visitor.get(path)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def asked(self, **more: str) -> str:
        """A replay that was asked for; where its page is."""
        answer = self.visitor.post(self.path, FORM | more)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def kept(self, page: str) -> Replay:
        [value] = [value for key, value, _ in rows(self.memory, "replay-states") if key == _id(page).encode()][-1:]
        return msgspec.json.decode(value or b"", type=Replay)

    def comes(self, page: str, **more: Any) -> None:
        """Each partition of it is looked through."""
        for one in self.kept(page).ranges:
            came = Progress(replay=_id(page), partition=one.partition, next=one.end, **more)
            self.memory.producer().produce(
                "replay-states", msgspec.json.encode(came), progress_key(_id(page), one.partition)
            )


def _id(page: str) -> str:
    return page.rpartition("/")[2]


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        event(memory)
        yield Cast(console, memory, editor(console, key), key, loop)


def test_it_is_counted_first_then_sent_with_the_same_wishes(cast: Cast) -> None:
    counted = cast.asked(do="count")
    page = cast.get(counted)
    assert "counted so far" in page
    assert f'data-poll="{counted}/progress"' in page
    cast.comes(counted, matched=7)
    part = until(lambda: found if "would be sent" in (found := cast.get(f"{counted}/progress")) else "")
    assert "data-poll" not in part
    assert "<main" not in part
    form = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', part)
    answer = cast.visitor.post(cast.path, [*[one for one in form if one[0] != "token"], ("do", "send")])
    assert answer.status_code == 303
    first, second = cast.kept(counted), cast.kept(answer.headers["location"])
    assert (first.dry_run, second.dry_run) == (True, False)
    for name in ("since", "until", "types", "mailings", "tags", "profiles", "rate"):
        assert getattr(first, name) == getattr(second, name)
    assert (second.types, second.mailings, second.rate) == (["click"], ["a", "b"], 20)


def test_what_was_counted_by_a_tag_with_a_comma_is_sent_by_the_same(cast: Cast) -> None:
    body = {"from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z", "tags": ["Summer, 2026"], "dry_run": True}
    counted = cast.console.call("POST", f"/v1{cast.path}", cast.key, json=body).json()["id"]
    answer = cast.visitor.post(cast.path, {"counted": counted, "do": "send"})
    assert cast.kept(answer.headers["location"]).tags == ["Summer, 2026"]
    assert cast.visitor.post(cast.path, {"counted": "rp_none", "do": "send"}).status_code == 404


def test_one_that_is_under_way_is_cancelled(cast: Cast) -> None:
    sent = cast.asked(do="send")
    assert "It is on its way" in cast.get(sent)
    assert cast.visitor.post(f"{sent}/cancel").headers["location"] == sent
    page = cast.get(sent)
    assert "Cancelled" in page
    assert "data-poll" not in page
    assert "Cancelled" in cast.get(cast.path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"from": ""}, "Must be"),
        ({"to": "2026-03-20T09:00"}, "Must be later than from."),
        ({"rate": "many"}, "Must be a valid number."),
        ({"rate": "0"}, "Must be greater than 0."),
        ({"mailings": "a b"}, "Must match pattern"),
        ({"types": "bounce", "do": "send"}, "the loop does not ask for bounce"),
    ],
)
def test_what_is_wrong_is_told_and_what_was_typed_is_kept(cast: Cast, change: dict[str, str], told: str) -> None:
    answer = cast.visitor.post(cast.path, FORM | change)
    assert answer.status_code == 422
    assert told in unescape(answer.text)
    for name in {"from", "to", "mailings", "rate"} - set(change):
        assert FORM[name] in answer.text


def test_a_loop_that_is_not_verified_is_counted_for_and_not_sent_to(cast: Cast) -> None:
    other = cast.console.loop(cast.key)["id"]
    assert cast.visitor.post(f"/loops/{other}/replays", FORM).status_code == 303
    answer = cast.visitor.post(f"/loops/{other}/replays", FORM | {"do": "send"})
    assert (answer.status_code, "The loop is unverified" in answer.text) == (422, True)


def test_a_viewer_follows_and_a_stranger_sees_nothing(cast: Cast) -> None:
    sent = cast.asked(do="send")
    guest, stranger = viewer(cast.console), editor(cast.console, cast.console.account("other"))
    assert guest.get(sent).status_code == 200
    for who, status in ((guest, 403), (stranger, 404)):
        assert who.post(cast.path, FORM).status_code == status
        assert who.post(f"{sent}/cancel").status_code == status
    assert stranger.get(sent).status_code == 404
    other = cast.console.loop(cast.key)["id"]
    assert cast.visitor.get(sent.replace(cast.loop, other)).status_code == 404
    assert cast.visitor.post(f"{sent}/cancel", {"token": "x"}).status_code == 403
    assert cast.kept(sent).cancelled_at is None


def test_the_history_says_what_was_changed_and_by_whom(cast: Cast) -> None:
    assert cast.visitor.post(f"/loops/{cast.loop}/pause").status_code == 303
    cast.console.call("PATCH", f"/v1/loops/{cast.loop}", cast.key, json={"name": "<i>new</i>", "rate": 3})
    raw = cast.visitor.get(f"/loops/{cast.loop}/history").text
    assert re.findall(r'name"><b>(\w+)</b>', raw) == ["Changed", "Paused", "Created"]
    assert "name, POSTs a second" in raw
    assert "API key" in raw
    assert "<i>" not in raw
