"""The `loopwire` command. A user's mistake gets one line and exit code 1, never a traceback."""

import logging
import sys
from typing import Annotated, NoReturn

import typer
from confluent_kafka import KafkaException

from pipeline import __version__, settings, topics
from pipeline.local.family import end_with_parent

# Each command imports what it runs: a capture process has no use for Faust, nor its memory.

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)
topics_app = typer.Typer(no_args_is_help=True, help="What the cluster should hold.")
schemas_app = typer.Typer(no_args_is_help=True, help="JSON Schemas from the models.")
app.add_typer(topics_app, name="topics")
app.add_typer(schemas_app, name="schemas")


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="Add a sample customer, mail, open and click.")] = False,
    once: Annotated[bool, typer.Option(help="With --demo: exit 0 once both were delivered.")] = False,
) -> None:
    """All stages on this machine, and a Kafka broker where LOOPWIRE_KAFKA names none."""
    from pipeline.local import up as local  # noqa: PLC0415

    raise SystemExit(local.up(settings.read(), demo=demo, once=once))


@app.command()
def broker() -> None:
    """Only the embedded broker: real Apache Kafka, with nothing but Python needed beforehand."""
    from pipeline.local import up as local  # noqa: PLC0415

    local.broker_alone(settings.read())


@app.command()
def capture() -> None:
    """Answers pixels and links, and publishes the hits."""
    from pipeline.capture.run import run  # noqa: PLC0415

    run(settings.read())


@app.command()
def enrich() -> None:
    """Joins hits with profiles and tags into events."""
    from pipeline.enrich.run import run  # noqa: PLC0415

    run(settings.read())


@app.command()
def deliver() -> None:
    """Routes events to loops and posts them."""
    from pipeline.deliver.run import run  # noqa: PLC0415

    run(settings.read())


@app.command()
def console() -> None:
    """The API."""
    from pipeline.console.run import run  # noqa: PLC0415

    run(settings.read())


@app.command(name="map")
def map_() -> None:
    """The pipeline in one screen: each stage, what it reads, what it writes."""
    from pipeline.flow import picture  # noqa: PLC0415

    typer.echo(picture())


@topics_app.command(name="plan")
def topics_plan() -> None:
    """What the cluster lacks against topics/."""
    from pipeline.kafka.admin import Admin  # noqa: PLC0415

    steps = Admin(settings.read()).plan()
    for kind, topic, detail in steps:
        typer.echo(f"{kind:<10} {topic.name:<28} {detail}")
    if not steps:
        typer.echo("nothing to do: the cluster has all topics as declared")


@topics_app.command(name="apply")
def topics_apply() -> None:
    """Makes it so. Never deletes, never shrinks."""
    from pipeline.kafka.admin import Admin  # noqa: PLC0415

    admin = Admin(settings.read())
    steps = admin.plan()
    admin.apply(steps)
    for kind, topic, detail in steps:
        typer.echo(f"{'left alone' if kind == 'conflict' else kind:<10} {topic.name:<28} {detail}")
    if not steps:
        typer.echo("nothing to do: the cluster has all topics as declared")
    if any(step.kind == "conflict" for step in steps):
        raise SystemExit(1)


@topics_app.command(name="list")
def topics_list() -> None:
    """The declared topics."""
    read = settings.read()
    declared = topics.read()
    for topic in topics.wanted(declared, read.topic_partitions, read.retry_ladder):
        source = declared.get(topic.name) or declared[topics.DELIVERIES_RETRY]
        typer.echo(f"{read.topic_prefix}{topic.name:<28} {topic.partitions:>3}  {source.key:<16} {source.description}")


@schemas_app.command(name="write")
def schemas_write() -> None:
    """Writes schemas/ from the models; a breaking change to a released contract is refused."""
    from pipeline import schemas  # noqa: PLC0415

    refused = schemas.write()
    for drift in refused:
        _fail(f"{drift.contract}: {drift.detail}: it is released, so this needs a new version")


@schemas_app.command(name="check")
def schemas_check() -> None:
    """Fails where schemas/ is not what the models say, or a released contract lost something."""
    from pipeline import schemas  # noqa: PLC0415
    from pipeline.model.contracts import RELEASED  # noqa: PLC0415

    found = schemas.drifts()
    for contract, breaking, detail in found:
        breaks = breaking and contract in RELEASED
        advice = "it is released: make a new version" if breaks else "run loopwire schemas write"
        typer.echo(f"{contract}: {detail}: {advice}", err=True)
    if found:
        raise SystemExit(1)


@app.command()
def version() -> None:
    """The version."""
    typer.echo(__version__)


def main() -> None:
    """Runs the command; what the user can mend is told in one line."""
    end_with_parent()
    try:
        logging.basicConfig(level=_level(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
        app()
    except (settings.SettingsError, topics.TopicError) as wrong:
        _fail(str(wrong))
    except KafkaException as failed:
        _fail(f"kafka at {settings.read().bootstrap}: {_said(failed)}")


def _level() -> str:
    try:
        return settings.read().log
    except settings.SettingsError as wrong:
        if str(wrong).startswith("LOOPWIRE_LOG:"):
            raise
        return "INFO"  # the command says what is wrong, if it has use for settings


def _said(failed: KafkaException) -> str:
    error = failed.args[0]
    return str(error.str()) if hasattr(error, "str") else str(error)


def _fail(line: str) -> NoReturn:
    sys.stderr.write(f"loopwire: {line}\n")
    raise SystemExit(1)
