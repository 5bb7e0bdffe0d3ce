"""Deliver's baseline: threads with a `requests.Session` each, posting the same bodies, signed the same way.

`python -m tests.bench.pool`; what to do comes as JSON on stdin, what was done goes as JSON to stdout.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import NamedTuple

import requests

from pipeline.deliver.signing import signature

THREADS = 32


class Letter(NamedTuple):
    """One POST that waits to be signed."""

    url: str
    delivery: str
    loop: str
    kind: str
    body: str


class Poster(Thread):
    """Posts one letter after the other; all take the next from the same heap."""

    def __init__(self, letters: Iterator[Letter], secret: str, stop: Event) -> None:
        super().__init__(daemon=True)
        self.delivered = 0
        self._letters = letters
        self._secret = secret
        self._stop_asked = stop

    def run(self) -> None:
        """Until told to stop; a failed POST ends it, and is missed in the count."""
        with requests.Session() as session:
            while not self._stop_asked.is_set():
                letter, now = next(self._letters), int(time.time())
                body = letter.body.encode()
                headers = {
                    "Content-Type": letter.kind,
                    "webhook-id": letter.delivery,
                    "webhook-timestamp": str(now),
                    "webhook-signature": signature([self._secret], letter.delivery, now, body),
                    "loopwire-attempt": "1",
                    "loopwire-loop": letter.loop,
                }
                answer = session.post(letter.url, data=body, headers=headers, timeout=15, allow_redirects=False)
                if not 200 <= answer.status_code < 300:
                    raise RuntimeError(f"the receiver answered {answer.status_code}")
                self.delivered += 1


def main() -> None:
    """Warms up, then counts what the threads delivered meanwhile, and the CPU-seconds of this process."""
    told = json.load(sys.stdin)
    letters = [Letter(**letter) for letter in told["letters"]]
    stop = Event()
    heap = itertools.cycle(letters)
    posters = [Poster(heap, told["secret"], stop) for _ in range(THREADS)]
    for poster in posters:
        poster.start()
    time.sleep(told["warm"])
    before, since, cpu = _delivered(posters), time.monotonic(), time.process_time()
    time.sleep(told["steady"])
    n, seconds, cpu_s = _delivered(posters) - before, time.monotonic() - since, time.process_time() - cpu
    alive = sum(poster.is_alive() for poster in posters)
    stop.set()
    for poster in posters:
        poster.join()
    done = {"n": n, "seconds": seconds, "cpu_s": cpu_s, "delivered": _delivered(posters), "alive": alive}
    sys.stdout.write(json.dumps(done))
    sys.stdout.flush()
    os._exit(0)


def _delivered(posters: list[Poster]) -> int:
    return sum(poster.delivered for poster in posters)


if __name__ == "__main__":
    main()
