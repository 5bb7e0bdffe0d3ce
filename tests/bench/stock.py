"""Enrich's baseline: the same join as Faust's own documentation would have it written, an agent and its tables.

`faust -A tests.bench.stock worker`; LOOPWIRE_KAFKA, LOOPWIRE_TOPIC_PREFIX and LOOPWIRE_TOPIC_PARTITIONS say where.
"""

import os
from typing import Any

import faust

BROKER = os.environ.get("LOOPWIRE_KAFKA", "127.0.0.1:9092")
PREFIX = os.environ.get("LOOPWIRE_TOPIC_PREFIX", "")
PARTITIONS = int(os.environ.get("LOOPWIRE_TOPIC_PARTITIONS", "12"))

app = faust.App(
    f"{PREFIX}stock",
    broker=f"kafka://{BROKER}",
    store="memory://",
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    web_enabled=False,
)

hits = app.topic(f"{PREFIX}hits", key_type=str, key_serializer="raw")
profiles = app.topic(f"{PREFIX}profiles", key_type=str, key_serializer="raw")
tags = app.topic(f"{PREFIX}tags", key_type=str, key_serializer="raw")
events = app.topic(f"{PREFIX}events", key_type=str, key_serializer="raw")

known = app.Table("profiles", partitions=PARTITIONS)
mailings = app.GlobalTable("mailings", partitions=PARTITIONS)


@app.agent(profiles)
async def keep_profiles(stream: faust.StreamT[Any]) -> None:
    """Every change of a profile into the table."""
    async for profile in stream:
        known[f"{profile['account']}/{profile['id']}"] = profile


@app.agent(tags)
async def keep_mailings(stream: faust.StreamT[Any]) -> None:
    """Every change of a mailing into the table."""
    async for mailing in stream:
        mailings[f"{mailing['account']}/{mailing['mailing']}"] = mailing


@app.agent(hits)
async def join(stream: faust.StreamT[Any]) -> None:
    """The event of every hit."""
    async for hit in stream:
        profile = known.get(f"{hit['account']}/{hit['profile']}")
        mailing = mailings.get(f"{hit['account']}/{hit['mailing']}")
        if profile:
            hit["recipient"] = profile["email"]
            hit["fields"] = profile["fields"]
            hit["interests"] = profile["interests"]
        if mailing:
            hit["tags"] = mailing["tags"]
        events.send_soon(key=f"{hit['account']}/{hit['profile']}", value=hit)
