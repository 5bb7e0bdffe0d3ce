"""The whole pipeline on one screen: each stage, what it reads, what it writes."""

from typing import NamedTuple

from pipeline.topics import (
    ACCOUNTS,
    ATTEMPTS,
    BATCHES,
    DELIVERIES,
    DELIVERIES_DEAD,
    DELIVERIES_RETRY,
    EVENTS,
    HITS,
    HITS_DEAD,
    LOOP_STATES,
    LOOPS,
    PROFILES,
    REPLAY_STATES,
    REPLAYS,
    TAGS,
)


class Stage(NamedTuple):
    """One stage of the line. `reads` are consumed by its group, `tables` are mirrored whole."""

    name: str
    does: str
    decides: str
    reads: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


FLOW = (
    Stage("capture", "answers pixels and links, once the hit is safe", "capture/answer.py", (), (ACCOUNTS,), (HITS,)),
    Stage("enrich", "joins a hit with its profile and its mailing's tags, tells what changed", "enrich/join.py",
          (HITS,), (PROFILES, TAGS), (EVENTS, HITS_DEAD)),
    Stage("route", "finds the loops that want an event, now or in a replay", "route/matching.py",
          (EVENTS,), (LOOPS, LOOP_STATES, REPLAY_STATES), (DELIVERIES, REPLAYS, LOOP_STATES, REPLAY_STATES, HITS_DEAD)),
    Stage("deliver", "posts, signed, and judges the answer", "deliver/verdict.py",
          (DELIVERIES, BATCHES, DELIVERIES_RETRY, REPLAYS), (LOOPS, LOOP_STATES),
          (BATCHES, DELIVERIES_RETRY, DELIVERIES_DEAD, LOOP_STATES, ATTEMPTS, EVENTS)),
    Stage("console", "takes profiles, mailings and loops by API, shows attempts", "console/api.py",
          (ATTEMPTS, DELIVERIES_DEAD), (ACCOUNTS, LOOPS, LOOP_STATES, REPLAY_STATES),
          (ACCOUNTS, LOOPS, REPLAY_STATES, PROFILES, TAGS, HITS, EVENTS, REPLAYS, DELIVERIES_RETRY,
           DELIVERIES_DEAD)),
)  # fmt: skip


def picture() -> str:
    """The flow as plain text, a few lines a stage."""
    return "\n\n".join(_lines(stage) for stage in FLOW)


def _lines(stage: Stage) -> str:
    rows = [f"{stage.name:<8} {stage.does}  ({stage.decides})"]
    for word, topics in (("reads", stage.reads), ("tables", stage.tables), ("writes", stage.writes)):
        if topics:
            rows.append(f"  {word:<6} {', '.join(topics)}")
    return "\n".join(rows)
