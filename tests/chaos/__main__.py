"""`python -m tests.chaos`: one fault after the other under opens, and what was answered beside what was delivered.

Three brokers, seven processes, a customer's server. SECONDS=600 is how long things break; SEED=... repeats the order
of a run. stdout has one line of JSON; the exit code is 1 unless nothing was lost, and all was well again each time.
What the processes said is kept where it was not.
"""

import json
import os
import random
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pipeline.capture.tokens import signing_key
from pipeline.kafka.admin import Admin
from pipeline.keys import link_keys
from tests.chaos.crew import crew_of
from tests.chaos.faults import Field
from tests.chaos.run import Run, say
from tests.chaos.shop import Shop
from tests.chaos.tally import is_well
from tests.faults.readers import Readers
from tests.faults.three import three_brokers
from tests.story.conftest import line_settings

SECONDS = 600.0
PACE = 100  # hits a second
CONNECTIONS = 32
LADDER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 30, 30, 30, 30))


def main() -> int:
    """The exit code."""
    seconds, seed = float(os.environ.get("SECONDS") or SECONDS), os.environ.get("SEED") or secrets.token_hex(4)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: sys.exit(1))
    folder, well = Path(mkdtemp(prefix="loopwire-chaos-")), False
    try:
        with line(folder) as run:
            run.broken(seconds, random.Random(seed))
            counts = run.counts() | {"seed": seed}
            well = is_well(counts) and not counts["wrong"]
            told(counts)
    finally:
        if well:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"what the processes said is in {folder}")
    return 0 if well else 1


def told(counts: dict[str, Any]) -> None:
    """One line, on stdout."""
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()


@contextmanager
def line(folder: Path) -> Iterator[Run]:
    """The cluster, the line on it, and the shop."""
    say("three brokers and seven processes start")
    with three_brokers(folder) as brokers:
        settings = line_settings(folder / "data", ",".join(one.bootstrap for one in brokers), topic_replication=3)
        settings = settings.model_copy(update={"retry_ladder": LADDER})
        admin = Admin(settings)
        admin.apply(admin.plan())
        with crew_of(settings, folder) as members:
            shop = Shop(settings)
            try:
                signing = signing_key(link_keys(settings), shop.account)
                readers = Readers(settings.capture_port, signing, CONNECTIONS, PACE, shop.account)
                yield Run(Field(members, brokers, shop.server), shop, readers, settings)
            finally:
                shop.close()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
