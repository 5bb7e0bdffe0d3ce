"""How far the event loop of deliver is behind with its own work: a part of deliver's door."""

import asyncio

PULSE_SECONDS, PULSE_WEIGHT = 0.02, 4  # how often the lateness is taken, and how many of them make the mean
LATE_SECONDS = 0.008  # idle it is below 0.001; posting all it can, a loop of this process is 0.02 and more behind


class Pulse:
    """How late this event loop comes to what was to be done by now: it is behind, or the machine is."""

    def __init__(self) -> None:
        self.lateness = 0.0  # seconds; 0 where it is in time

    async def run(self) -> None:
        """Takes it until cancelled."""
        clock = asyncio.get_running_loop().time
        lateness = 0.0
        while True:
            due = clock() + PULSE_SECONDS
            await asyncio.sleep(PULSE_SECONDS)
            lateness += (clock() - due - lateness) / PULSE_WEIGHT
            self.lateness = lateness if lateness > LATE_SECONDS else 0.0
