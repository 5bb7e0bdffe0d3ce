"""The console as a process that records from a real broker: killed in the middle, and it loses and doubles nothing."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import requests
from sqlalchemy import URL

from pipeline.kafka.client import Cluster
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.console.running import ADMIN
from tests.console.store.stores import failed
from tests.console.test_run import _process, _until_ready
from tests.examples import example

PATIENCE_SECONDS = 60
COUNT = 60_000
OTHERS = [f"lp_other{number}" for number in range(7)]


class Shop(NamedTuple):
    """An account that asks."""

    url: str
    key: str
    loop: str

    def ask(self, what: str, **asked: Any) -> Any:
        headers = {"authorization": f"Bearer {self.key}"}
        answer = requests.get(f"{self.url}/v1/loops/{self.loop}/{what}", headers=headers, params=asked, timeout=20)
        return answer.json() if answer.status_code == 200 else None

    def counted(self) -> int:
        """Attempts that the store has counted; none while it is away."""
        found = self.ask("stats")
        return int(found["total"]["attempts"]) if found else 0

    def numbers(self) -> list[int]:
        """Of all attempts that are kept, the newest first."""
        numbers: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.ask("attempts", limit=250, cursor=cursor)
            numbers += [one["attempt"] for one in page["attempts"]]
            cursor = page["next_cursor"]
        return numbers


def _shop(url: str) -> Shop:
    admin = {"authorization": f"Bearer {ADMIN}"}
    made = requests.post(url + "/v1/accounts", json={"name": "shop"}, headers=admin, timeout=10)
    key = made.json()["api_key"]
    loop = {"name": "shop", "url": "https://shop.example/in", "events": ["open"]}
    answer = requests.post(url + "/v1/loops", json=loop, headers={"authorization": f"Bearer {key}"}, timeout=10)
    return Shop(url, key, answer.json()["id"])


def _produce(chosen: Settings, loops: list[str], count: int) -> None:
    """Failed attempts, all of which are kept, with numbers from 1; the first loop gets those it can be counted by."""
    cluster = Cluster(chosen)
    producer, topic = cluster.producer(), cluster.full("attempts")
    now = datetime.now(UTC)
    for number in range(count):
        loop = loops[number % len(loops)]
        at = now - timedelta(minutes=1, milliseconds=count - number)
        producer.produce(topic, failed(at, loop=loop, attempt=number + 1), loop.encode())
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(30) == 0


@pytest.mark.timeout(240)
def test_killed_while_it_records_it_loses_and_doubles_nothing(
    cluster_settings: Settings, store_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = store_url.set(drivername=store_url.get_backend_name()).render_as_string(hide_password=False)
    monkeypatch.setenv("LOOPWIRE_DATABASE_URL", address)
    chosen = cluster_settings.model_copy(update={"console_port": free_port()})
    url = f"http://127.0.0.1:{chosen.console_port}"
    with _process(chosen):
        _until_ready(url)
        shop = _shop(url)
        _produce(chosen, [shop.loop], 10)
        _until(lambda: shop.counted() == 10)
        assert shop.numbers() == list(range(10, 0, -1))
        told = example("attempt.v1", "again")
        assert shop.ask("attempts", limit=1)["attempts"][0]["url"] == told["url"]
    _produce(chosen, [shop.loop, *OTHERS], COUNT)
    share = COUNT // (len(OTHERS) + 1)
    seen = 10
    for _life in range(4):
        with _process(chosen):  # ends by SIGKILL
            _until_ready(url)
            _until(lambda: shop.counted() > seen)  # noqa: B023 (waited for in the loop)
            seen = shop.counted()
    assert seen < share + 10, "it was done before it was killed: more records are wanted"
    with _process(chosen):
        _until_ready(url)
        _until(lambda: shop.counted() >= share + 10)
        numbers = shop.numbers()
        assert shop.counted() == len(numbers) == share + 10
        assert sorted(numbers)[10:] == sorted([*range(1, COUNT + 1, len(OTHERS) + 1), *range(1, 11)])[10:]


def _until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
