"""A loop is verified by its file, wherever of the two places it stands, and by nothing else."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Thread
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from pipeline.console import fetching
from pipeline.kafka.memory import Memory
from pipeline.model.loops import Loop, LoopState
from tests.console.running import TOPICS, Console, Site, rows, running, site


class Cast(NamedTuple):
    """A console, a customer's site, an account's key and a loop that points at the site."""

    console: Console
    memory: Memory
    site: Site
    key: str
    loop: str
    file: str
    content: bytes

    def verify(self) -> requests.Response:
        return self.console.call("POST", f"/v1/loops/{self.loop}/verify", self.key)

    def patch(self, **change: Any) -> dict[str, Any]:
        answer = self.console.call("PATCH", f"/v1/loops/{self.loop}", self.key, json=change)
        shown: dict[str, Any] = answer.json()
        return shown

    def kept(self) -> Loop:
        return msgspec.json.decode(rows(self.memory, "loops")[-1][1] or b"", type=Loop)

    @property
    def url(self) -> str:
        return f"{self.site.url}/hooks/in.php?a=1"


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cast]:
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    memory = Memory(TOPICS)
    with site() as customer, running(memory) as console:
        key = console.account("acme")
        made = console.loop(key, url=f"{customer.url}/hooks/in.php?a=1")
        file, content = made["verification"]["file"], made["verification"]["content"].encode()
        yield Cast(console, memory, customer, key, made["id"], file, content)


@pytest.mark.parametrize(("folder", "asked"), [("/hooks/", ["/hooks/{file}"]), ("/", ["/hooks/{file}", "/{file}"])])
def test_the_file_is_found_in_both_places(cast: Cast, folder: str, asked: list[str]) -> None:
    cast.site.script = {folder + cast.file: (200, {}, b"\n " + cast.content + b"\r\n")}
    before = datetime.now(UTC)
    answer = cast.verify()
    assert (answer.status_code, answer.json()["state"]) == (200, "active")
    assert before <= datetime.fromisoformat(answer.json()["verified_at"]) <= datetime.now(UTC)
    assert cast.site.asked == [path.format(file=cast.file) for path in asked]
    kept = cast.kept()
    assert (kept.verified_url, kept.epoch) == (cast.url, 1)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((404, {}, b"no"), {"status": 404, "error": "answered 404"}),
        ((500, {}, b"no"), {"status": 500, "error": "answered 500"}),
        (
            (302, {"Location": "/moved"}, b""),
            {"status": 302, "error": "answered 302, a redirect, which is not followed"},
        ),
        ((200, {}, b"other"), {"status": 200, "error": "has another content", "body": "other"}),
        ((200, {}, b""), {"status": 200, "error": "is empty"}),
        ((200, {}, b"x" * 4097), {"status": 200, "error": "is larger than 4096 bytes", "body": "x" * 100}),
        ((200, {}, b"x" * 1_000_000), {"status": 200, "error": "is larger than 4096 bytes", "body": "x" * 100}),
    ],
)
def test_anything_else_proves_nothing(
    cast: Cast, answer: tuple[int, dict[str, str], bytes], found: dict[str, Any]
) -> None:
    places = [f"/hooks/{cast.file}", f"/{cast.file}"]
    cast.site.script = dict.fromkeys(places, answer) | {"/moved": (200, {}, cast.content)}
    got = cast.verify()
    urls = [cast.site.url + place for place in places]
    assert (got.status_code, got.json()["fetched"]) == (422, [{"url": url} | found for url in urls])
    assert got.json()["detail"] == "; ".join(f"{url}: {found['error']}" for url in urls)
    assert (cast.site.asked, cast.kept().verified_url) == (places, None)


def test_a_server_that_hangs_is_given_up(cast: Cast) -> None:
    cast.site.script = {f"/hooks/{cast.file}": (0, {}, b""), f"/{cast.file}": (200, {}, cast.content)}
    assert cast.verify().json()["state"] == "active"


def test_an_address_of_our_own_network_is_not_called() -> None:
    with site() as customer, running(allow_networks="") as console:
        key = console.account("acme")
        loop = console.loop(key, url=f"{customer.url}/in")["id"]
        answer = console.call("POST", f"/v1/loops/{loop}/verify", key)
        assert answer.status_code == 422
        assert answer.json()["fetched"][0]["error"] == "address 127.0.0.1 is refused: loopback"
        assert customer.asked == []


def test_a_new_url_needs_a_new_verification_and_so_does_the_old_one_again(cast: Cast) -> None:
    cast.site.script = {f"/{cast.file}": (200, {}, cast.content)}
    assert cast.verify().json()["state"] == "active"
    assert cast.patch(name="new")["state"] == "active"
    for url in (cast.site.url + "/other", cast.url):
        changed = cast.patch(url=url)
        assert (changed["state"], changed["verified_at"]) == ("unverified", None)
        assert cast.kept().verified_url is None
    assert cast.verify().json()["state"] == "active"
    assert cast.kept().epoch == 2


def test_a_disabled_loop_is_active_again_and_a_paused_one_stays_paused(cast: Cast) -> None:
    cast.site.script = {f"/{cast.file}": (200, {}, cast.content)}
    cast.verify()
    found = LoopState(loop=cast.loop, epoch=1, reason="failing", at=datetime.now(UTC))
    cast.memory.producer().produce("loop-states", msgspec.json.encode(found), cast.loop.encode())
    cast.console.loop(cast.key)
    assert cast.console.call("GET", f"/v1/loops/{cast.loop}", cast.key).json()["reason"] == "failing"
    shown = cast.verify().json()
    assert (shown["state"], shown["reason"]) == ("active", None)
    paused = msgspec.json.encode(msgspec.structs.replace(cast.kept(), paused=True))
    cast.memory.producer().produce("loops", paused, cast.loop.encode())
    cast.console.loop(cast.key)
    assert cast.verify().json()["state"] == "paused"


def test_pause_and_resume_are_answered_with_the_state_that_holds_and_written_once(cast: Cast) -> None:
    cast.site.script = {f"/{cast.file}": (200, {}, cast.content)}

    def told(word: str) -> str:
        answer = cast.console.call("POST", f"/v1/loops/{cast.loop}/{word}", cast.key)
        assert answer.status_code == 200
        return str(answer.json()["state"])

    assert told("pause") == "unverified"
    assert cast.verify().json()["state"] == "paused"
    assert [told("resume"), told("pause"), told("pause"), told("resume")] == ["active", "paused", "paused", "active"]
    written = [msgspec.json.decode(value or b"", type=Loop).paused for _, value, _ in rows(cast.memory, "loops")]
    assert written == [False, True, True, False, True, False]


def test_a_url_that_changes_meanwhile_is_not_verified(cast: Cast) -> None:
    cast.site.script = {f"/hooks/{cast.file}": (0, {}, b""), f"/{cast.file}": (200, {}, cast.content)}
    answers: list[requests.Response] = []
    verifying = Thread(target=lambda: answers.append(cast.verify()))
    verifying.start()
    while not cast.site.asked:
        time.sleep(0.01)
    cast.patch(url=cast.site.url + "/other")
    verifying.join()
    assert (answers[0].status_code, answers[0].json()["type"]) == (409, "urn:loopwire:problem:changed")
    assert cast.kept().verified_url is None


def test_a_loop_that_goes_meanwhile_is_gone(cast: Cast) -> None:
    cast.site.script = {f"/hooks/{cast.file}": (0, {}, b""), f"/{cast.file}": (200, {}, cast.content)}
    answers: list[requests.Response] = []
    verifying = Thread(target=lambda: answers.append(cast.verify()))
    verifying.start()
    while not cast.site.asked:
        time.sleep(0.01)
    cast.console.call("DELETE", f"/v1/loops/{cast.loop}", cast.key)
    verifying.join()
    assert answers[0].status_code == 404
    assert rows(cast.memory, "loops")[-1][1] is None
