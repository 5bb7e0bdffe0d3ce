"""Runs in namespaces of its own: a network with nothing but `lo`, a resolver that asks the test's DNS server.

There it makes each call of the corpus, and prints what came of it and at which addresses something arrived, as JSON.
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml

from pipeline.calls import Calls
from pipeline.outbound import Answer, Guard, Request, fetch
from tests.hostile.dns import Answers, Dns

CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "urls.yaml").read_text())
PORT = 8080
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
PUBLIC, OURS = "93.184.215.14", "10.0.0.5"


class Everywhere:
    """Listens at every address of this network; `reached` are those that somebody connected to."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        listener = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            self.reached.append(str(connection.getsockname()[0]).removeprefix("::ffff:"))
            connection.recv(65_536)
            connection.sendall(OK)
            connection.close()


def prepare() -> None:
    """The addresses, and who resolves names. KeyError or CalledProcessError where this can't be done here."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in CORPUS["here"]:
        size = 32 if ip_address(address).version == 4 else 128
        more = ["nodad"] if size == 128 else []
        subprocess.run(["ip", "address", "add", f"{address}/{size}", "dev", "lo", *more], check=True)
    for place, text in (
        ("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(text)
        subprocess.run(["mount", "--bind", file.name, place], check=True)


def on_a_loop(*requests: Request) -> list[Answer]:
    """By Calls, as deliveries and the console's verification go, one after the other on one set of connections."""

    async def all_of_them() -> list[Answer]:
        calls, answers = Calls(Guard()), []
        for request in requests:
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            calls.start(request, answered.set_result)
            answers.append(await answered)
        calls.close()
        return answers

    return asyncio.run(all_of_them())


def beside_silence() -> list[float]:
    """For how long calls waited for a name that is known, while many others hang: at first, and once that was seen."""

    async def story() -> list[float]:
        calls, loop, waited = Calls(Guard()), asyncio.get_running_loop(), list[float]()

        def post(name: str) -> "asyncio.Future[Answer]":
            answered: asyncio.Future[Answer] = loop.create_future()
            calls.start(Request(f"http://{name}:8080/in", b"x", seconds=3), answered.set_result)
            return answered

        for _ in range(2):
            silent = [post(f"silent.{number}.test") for number in range(40)]
            waited.append((await post("public.test")).timings.total)
            await asyncio.gather(*silent)
            await asyncio.sleep(2)  # until the last thread gave up
        calls.close()
        return waited

    return asyncio.run(story())


def by_file(url: str) -> Answer:
    """As a single GET."""
    return fetch(url, Guard(), seconds=5, limit=4096)


def by_post(url: str) -> Answer:
    """As a single POST."""
    return on_a_loop(Request(url, b"x", seconds=5))[0]


def main() -> None:
    prepare()
    flips: Counter[tuple[str, int]] = Counter()

    def zone(name: str, kind: int) -> Answers:
        if not name.startswith("rebind"):
            found: Answers = CORPUS["zone"].get(name)
            return found
        flips[name, kind] += 1  # the first answer is the good one
        return [PUBLIC if flips[name, kind] == 1 else OURS]

    Dns(zone)
    server, told = Everywhere(), dict[str, Any]()
    for url in [*CORPUS["allowed"], *CORPUS["refused"]]:
        for how, call in (("fetch", by_file), ("calls", by_post)):
            answer = call(url)
            told[f"{how} {url}"] = {"status": answer.status, "error": answer.error, "reached": server.reached.copy()}
            server.reached.clear()
    checked, sent = by_file("http://rebind.test:8080/in"), by_file("http://rebind.test:8080/in")
    told["rebound"] = [checked.status, sent.status, sent.error, server.reached.copy()]
    server.reached.clear()
    post = Request("http://rebind2.test:8080/in", b"x", seconds=5)
    told["rebound while connections are kept"] = [
        *(one.status for one in on_a_loop(post, post)),
        on_a_loop(post)[0].error,
        sorted(set(server.reached)),
    ]
    told["beside silence"] = beside_silence()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
