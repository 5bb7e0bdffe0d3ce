"""Links are made beside the event loop: a large mail keeps nobody waiting, and only so much waits."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.console import track
from pipeline.console.console import CrowdedError
from pipeline.console.workbench import SMALL_BYTES, Workbench
from tests.console.running import running

MAIL = {"profile": "p", "mailing": "m"}
LARGE = MAIL | {"html": "<p>Text</p>" * 100_000}


def test_small_calls_are_answered_while_a_large_mail_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, really = threading.Event(), threading.Event(), track.answer

    def answer(tracking: Any, account: str, body: bytes, domains: Any) -> bytes:
        if len(body) > SMALL_BYTES:
            begun.set()
            assert go_on.wait(20)
        return really(tracking, account, body, domains)

    monkeypatch.setattr(track, "answer", answer)
    with running() as console, ThreadPoolExecutor(1) as thread:
        key = console.account("acme")
        large = thread.submit(console.call, "POST", "/v1/track", key, json=LARGE)
        assert begun.wait(20)
        assert console.call("GET", "/v1/loops", key).status_code == 200
        assert console.call("POST", "/v1/track", key, json=MAIL).status_code == 200
        assert not large.done()
        go_on.set()
        assert large.result().status_code == 200


def test_where_too_much_waits_a_mail_is_refused_and_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.console.run.Workbench", lambda: Workbench(most=1_000))
    with running() as console:
        key = console.account("acme")
        answer = console.call("POST", "/v1/track", key, json=LARGE)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:loopwire:problem:crowded")
        assert answer.headers["retry-after"] == "1"
        assert console.call("POST", "/v1/track", key, json=MAIL).status_code == 200


def test_what_is_done_or_failed_makes_room() -> None:
    async def story() -> None:
        bench, go_on = Workbench(most=100), threading.Event()
        held = asyncio.create_task(bench.do(60, lambda: go_on.wait(20)))
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError):
            await bench.do(60, lambda: None)
        go_on.set()
        assert await held
        with pytest.raises(ZeroDivisionError):
            await bench.do(100, lambda: 1 / 0)
        assert await bench.do(100, lambda: "made") == "made"
        bench.close()

    asyncio.run(story())
