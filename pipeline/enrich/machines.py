"""What gives a machine away: the rows of machines.yaml, which explains them, made ready to be asked."""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from pipeline.enrich.networks import Networks

FILE = Path(__file__).with_name("machines.yaml")


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case, with its reason and its examples. It is about one of `agent`, `method` and `networks`."""

    signal: str
    says: str
    source: str
    examples: list[str]
    lookalikes: list[str]
    agent: str | None = None
    method: str | None = None
    networks: list[str] = []
    client: str | None = None


def rows() -> list[Row]:
    """The rows that Loopwire comes with, in the order in which they count."""
    return msgspec.convert(yaml.safe_load(FILE.read_text()), list[Row])


class Machines:
    """Asks the rows; everything that is no machine is taken for a person."""

    def __init__(self, known: Iterable[Row]) -> None:
        known = tuple(known)
        self._agents = [(re.compile(row.agent, re.IGNORECASE), row) for row in known if row.agent is not None]
        self.methods: dict[str | None, str] = {row.method: row.signal for row in known if row.method is not None}
        self.networks = Networks((network, row.signal) for row in known for network in row.networks)

    def named(self, useragent: str) -> Row | None:
        """The row whose machine that user agent is; an absent one is empty."""
        return next((row for pattern, row in self._agents if pattern.search(useragent)), None)
