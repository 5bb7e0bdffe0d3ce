"""PROMISES.md says of the topics what topics/ says, and of the groups what the flow says."""

import re
from pathlib import Path

from pipeline import flow, topics

PAGE = (Path(__file__).parent.parent / "PROMISES.md").read_text()

STORE = "console"  # its offsets are in its database, and it is no member of a group


def kept(topic: topics.Topic) -> str:
    """How long a topic keeps its records, in the page's words."""
    span = (topic.kept or "").replace("d", " days")
    if topic.compacted:
        return f"compacted, {span}" if span else "compacted"
    return f"delay + {span}" if topic.per_delay else span


def rows() -> list[tuple[str, str, str]]:
    """The table of topics as it should be."""
    return [
        (f"`{name}{'-<delay>' if topic.per_delay else ''}`", topic.key, kept(topic))
        for name, topic in topics.read().items()
    ]


def table(heading: str) -> list[tuple[str, ...]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_each_topic_is_there_with_its_key_and_how_long_it_keeps() -> None:
    assert table("What is kept, and how long") == rows()


def test_each_consumer_group_is_there_with_all_it_reads() -> None:
    found = {re.sub(r"`(loopwire-)?", "", group): set(re.findall(r"`([a-z-]+)", reads))
             for group, reads, _ in table("Who reads what")}  # fmt: skip
    expected = {stage.name: set(stage.reads) for stage in flow.FLOW if stage.reads and stage.name != STORE}
    assert {group: {name.rstrip("-") for name in names} for group, names in found.items()} == expected
