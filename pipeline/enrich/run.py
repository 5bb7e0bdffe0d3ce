"""Enrich's door to the world: a Faust app whose agent joins batches that librdkafka feeds it."""

import logging
from pathlib import Path
from typing import Any, cast

import faust
import uvloop
from confluent_kafka import KafkaException
from faust.app.base import BootStrategy

from pipeline import topics
from pipeline.enrich import feeding
from pipeline.enrich.disk import Disk, sweep
from pipeline.enrich.feeding import Hits, Work
from pipeline.enrich.joiner import Joiner
from pipeline.enrich.limits import Limits, TooManyBadError
from pipeline.enrich.stage import is_hit, is_profile
from pipeline.enrich.tables import InMemory, Shelves, Tables
from pipeline.kafka.admin import check_family
from pipeline.kafka.client import Cluster
from pipeline.kafka.placement import check_placement
from pipeline.kafka.rights import check_rights
from pipeline.kafka.seam import Kafka
from pipeline.settings import Settings, SettingsError, read


class _OneLine(logging.Filter):
    """Of what is no fault of ours its own line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        failed = record.exc_info[1] if record.exc_info else None
        if isinstance(failed, KafkaException):
            record.msg, record.args, record.exc_info = f"enrich stops: kafka: {failed.args[0].str()}", (), None
        if isinstance(failed, TooManyBadError):
            record.msg, record.args, record.exc_info = str(failed), (), None
        return True


class Boot(BootStrategy):
    """Faust without its own Kafka clients: librdkafka reads and writes."""

    enable_kafka = False
    enable_web = False
    enable_sensors = False


def build(settings: Settings, kafka: Kafka | None = None) -> faust.App:
    """The Faust app of the stage."""
    cluster = kafka or Cluster(settings)
    app = faust.App("loopwire-enrich", autodiscover=False, datadir=str(_folder(settings)), web_enabled=False)
    app.boot_strategy = Boot(app)
    app.flow_control.resume()  # without Faust's consumer nobody else would, and a channel's send would wait
    feeding.log.addFilter(_OneLine())  # a service speaks by its module's log
    joiner = Joiner(cluster, Limits(settings.bad_share, settings.bad_in_row), Tables(_shelves(settings, cluster)))
    batches = app.channel(maxsize=2)

    @app.agent(batches, name="join")
    async def join(stream: faust.StreamT[Work]) -> None:
        async for work in stream:
            try:
                await joiner.join(work.batch, work.profiles)
            except Exception as failed:  # noqa: BLE001 (raised here, Faust would start the agent anew, behind the batch)
                joiner.fail(failed)

    hits = Hits(cluster, joiner, batches, settings)
    app.service(cast("Any", hits))  # an instance will do, though the annotation says class
    return app


def _folder(settings: Settings) -> Path:
    """Faust wants a folder; SettingsError where there can be none."""
    folder = settings.data / "faust"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise SettingsError(f"LOOPWIRE_DATA: {folder} can't be used: {failed.strerror}") from failed
    return folder


def _shelves(settings: Settings, kafka: Kafka) -> Shelves:
    """Where profiles are kept. What a worker once kept on disk does not outlive the setting: people may be erased."""
    folder = settings.data / "tables"
    if settings.table_store == "disk":
        return Disk(folder, kafka)
    sweep(folder)
    return InMemory()


def run(settings: Settings) -> None:
    """Runs the stage until SIGTERM or SIGINT; exits 1 where it could not go on."""
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
    worker = faust.Worker(
        build(settings, _checked(settings)),
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
        loop=uvloop.new_event_loop(),
    )
    worker.spinner = None
    worker.execute_from_commandline()


def _checked(settings: Settings) -> Cluster:
    """The cluster, its topics as they should be: one clear line where not, before Faust has the word."""
    cluster = Cluster(settings)
    check_rights(cluster, "enrich")
    check_family(cluster, topics.family(topics.read(), "profile"))
    check_placement(cluster, {topics.HITS: is_hit, topics.PROFILES: is_profile})
    return cluster


def __getattr__(name: str) -> faust.App:
    """`faust -A pipeline.enrich.run worker` asks for `app`; nothing runs at import."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = read()
        cluster = _checked(settings)
        return build(settings, cluster)
    except (SettingsError, KafkaException) as wrong:
        told = wrong.args[0].str() if isinstance(wrong, KafkaException) else wrong
        raise SystemExit(f"loopwire: {told}") from None
