"""The console as a process: what it says when it can't start, and how it stops."""

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
import requests
from confluent_kafka import KafkaException

from pipeline.console.run import run
from pipeline.kafka.memory import Memory
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.console.running import ADMIN, running, settings, site

# What `loopwire console` does; the stage's name is an argument of its own.
COMMAND = "from pipeline.settings import read; from pipeline.console.run import run; run(read())"


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as end:
            run(settings(console_port=port))
    assert end.value.code == f"LOOPWIRE_CONSOLE_PORT: 127.0.0.1:{port} can't be used: Address already in use"


def test_a_second_console_does_not_share_the_port() -> None:
    with running() as console:
        port = int(console.url.rpartition(":")[2])
        with pytest.raises(SystemExit, match="LOOPWIRE_CONSOLE_PORT"):
            run(settings(console_port=port))


def test_a_host_of_another_machine_is_named() -> None:
    with pytest.raises(SystemExit, match=r"LOOPWIRE_CONSOLE_HOST: no\.such\.invalid is no address of this machine"):
        run(settings(console_host="no.such.invalid"))
    with pytest.raises(SystemExit, match=r"LOOPWIRE_CONSOLE_HOST: 192\.0\.2\.1:\d+ can't be used: "):
        run(settings(console_host="192.0.2.1"))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(SystemExit, match="LOOPWIRE_MASTER_KEY: must be set where LOOPWIRE_KAFKA is"):
        run(settings(master_key=""))


def test_a_missing_topic_is_named() -> None:
    with pytest.raises(AssertionError) as failed, running(Memory({"accounts": 1, "loops": 1})):
        pass
    fault = failed.value.args[0]
    assert isinstance(fault, KafkaException)
    assert fault.args[0].str() == "there is no topic loop-states"


def test_whoever_waits_at_the_end_is_answered() -> None:
    with site() as customer, running() as console:
        key = console.account("acme")
        made = console.loop(key, url=f"{customer.url}/hooks/in")
        customer.script = {f"/hooks/{made['verification']['file']}": (0, {}, b"")}
        answers: list[requests.Response] = []
        asking = Thread(target=lambda: answers.append(console.call("POST", f"/v1/loops/{made['id']}/verify", key)))
        asking.start()
        while not customer.asked:
            time.sleep(0.01)
        began = time.monotonic()
        console.stop()
        asking.join()
        assert time.monotonic() - began < 2
        assert (answers[0].status_code, answers[0].json()["fetched"][0]["error"]) == (
            422,
            "the console stops: try again",
        )


@contextmanager
def _process(chosen: Settings) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        "LOOPWIRE_KAFKA": chosen.kafka,
        "LOOPWIRE_TOPIC_PREFIX": chosen.topic_prefix,
        "LOOPWIRE_CONSOLE_PORT": str(chosen.console_port),
        "LOOPWIRE_ADMIN_KEY": ADMIN,
        "LOOPWIRE_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
        "LOOPWIRE_TOKEN_KEYS": "k1:" + base64.b64encode(b"t" * 32).decode(),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "console"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _until_ready(url: str) -> None:
    for _ in range(300):
        try:
            assert requests.get(url + "/ready", timeout=5).status_code == 200
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the console does not come up")


def test_on_a_real_broker_it_writes_restarts_and_stops_at_once(cluster_settings: Settings) -> None:
    chosen = cluster_settings.model_copy(update={"console_port": free_port()})
    url = f"http://127.0.0.1:{chosen.console_port}"
    admin = {"authorization": f"Bearer {ADMIN}"}
    key = ""
    for life in range(2):
        with _process(chosen) as process:
            _until_ready(url)
            if not life:
                made = requests.post(url + "/v1/accounts", json={"name": "acme"}, headers=admin, timeout=10)
                key = made.json()["api_key"]
            own = {"authorization": f"Bearer {key}"}
            loop = {"name": "shop", "url": "https://shop.example/in", "events": ["open"]}
            began = time.monotonic()
            assert requests.post(url + "/v1/loops", json=loop, headers=own, timeout=10).status_code == 201
            assert time.monotonic() - began < 1
            assert len(requests.get(url + "/v1/loops", headers=own, timeout=10).json()) == life + 1
            put = requests.put(url + "/v1/profiles/p1", json={"email": "a@b"}, headers=own, timeout=10)
            assert put.status_code == 204
            assert _rss_mb(process.pid) < 130
            _stops_with_a_connection_open(process, chosen.console_port)


def _stops_with_a_connection_open(process: "subprocess.Popen[str]", port: int) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    kept.request("GET", "/live")
    kept.getresponse().read()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert time.monotonic() - began < 3
    kept.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def _rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
