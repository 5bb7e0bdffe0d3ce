"""The stages as commands, and the map of them."""

from types import ModuleType
from typing import Annotated

import typer

from pipeline import __version__, settings
from pipeline.cli.mistakes import Mistake
from pipeline.local.family import outlive_parent_briefly

# Each command imports what it runs: a capture process has no use for Faust, nor its memory.

app = typer.Typer()


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="Add a sample customer, mail, open and click.")] = False,
    once: Annotated[bool, typer.Option(help="With --demo: exit 0 once both were delivered.")] = False,
) -> None:
    """All stages on this machine, and a Kafka broker where LOOPWIRE_KAFKA names none."""
    raise SystemExit(_local().up(settings.read(), demo=demo, once=once))


@app.command()
def broker() -> None:
    """Only the embedded broker: real Apache Kafka, with nothing but Python needed beforehand."""
    _local().broker_alone(settings.read())


@app.command()
def capture() -> None:
    """Answers pixels and links, and publishes the hits."""
    from pipeline.capture.run import run  # noqa: PLC0415

    run(settings.read())


@app.command()
def enrich() -> None:
    """Joins hits with profiles and tags into events."""
    from pipeline.enrich.run import run  # noqa: PLC0415

    outlive_parent_briefly()
    run(settings.read())


@app.command()
def deliver() -> None:
    """Routes events to loops and posts them."""
    from pipeline.deliver.run import run  # noqa: PLC0415

    outlive_parent_briefly()
    run(settings.read())


@app.command()
def console() -> None:
    """The API."""
    from pipeline.console.run import run  # noqa: PLC0415

    outlive_parent_briefly()
    run(settings.read())


@app.command(name="map")
def map_() -> None:
    """The pipeline in one screen: each stage, what it reads, what it writes."""
    from pipeline.flow import picture  # noqa: PLC0415

    typer.echo(picture())


@app.command()
def version() -> None:
    """The version."""
    typer.echo(__version__)


def _local() -> ModuleType:
    """What runs all of it on one machine; its packages are an extra, which an image of the stages has no use for."""
    try:
        from pipeline.local import up as local  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise Mistake(f"{missing.name} is not installed: this command needs loopwire[local]") from missing
    return local
