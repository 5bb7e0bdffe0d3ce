"""`python -m tests.bench [NAME...]`: each benchmark's figure is one JSON object on a line of stdout.

QUICK=1 takes seconds and shows only that it works.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.bench import capture, deliver, enrich, isolation, line, loops, streams, tables
from tests.bench.figures import FULL, QUICK, Implausible, told
from tests.bench.ground import Ground, Land, land
from tests.bench.processes import Missing, busy_cores, say

BENCHMARKS: dict[str, Callable[[Ground], dict[str, Any]]] = {
    "capture": capture.measure,
    "enrich": enrich.measure,
    "deliver": deliver.measure,
    "line": line.measure,
    "tables": tables.measure,
    "isolation": isolation.measure,
    "loops": loops.measure,
    "streams": streams.measure,
}
# These are run when they are named, and not with all the others.
ASKED_FOR = {"tables", "isolation", "loops", "streams"}

LISTEN_SECONDS = 1.0  # before each benchmark, when nothing of ours has anything to do
QUIET_CORES = 0.2


def main(names: Sequence[str]) -> int:
    """Runs the named ones, or the usual four; 1 where one has no figure, 2 where there is none of that name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        say(f"there is no benchmark {unknown[0]}: there are {', '.join(BENCHMARKS)}")
        return 2
    for name in [name for name in os.environ if name.startswith("LOOPWIRE_")]:
        del os.environ[name]  # the benchmarks' settings are their own
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    pace = QUICK if os.environ.get("QUICK", "0") not in {"", "0"} else FULL
    with land(pace) as here:
        return max(_measured(here, name) for name in names or [one for one in BENCHMARKS if one not in ASKED_FOR])


def _measured(here: Land, name: str) -> int:
    try:
        with here.ground(name) as ground:
            others = round(_others(ground), 2)
            if others > QUIET_CORES:
                say(f"{name}: others keep {others} of {os.cpu_count()} cores busy: these figures are not the machine's")
            figure = BENCHMARKS[name](ground) | {"others_cores": others, "cores": os.cpu_count()}
    except (Implausible, Missing, RuntimeError, TimeoutError) as wrong:
        say(f"{name}: no figure: {wrong}")
        return 1
    sys.stdout.write(told(figure) + "\n")
    sys.stdout.flush()
    return 0


def _others(ground: Ground) -> float:
    """How many cores others keep busy: the broker, which compiles what it has just run, is ours."""
    meter = ground.meter()
    busy = busy_cores(LISTEN_SECONDS)
    return max(0.0, busy - meter.run(0).broker_cpu_s / LISTEN_SECONDS)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
