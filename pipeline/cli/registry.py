"""What is declared beside the code: topics against a cluster, schemas against the models."""

import typer

from pipeline import settings, topics
from pipeline.cli.mistakes import Mistake

topics_app = typer.Typer(no_args_is_help=True, help="What the cluster should hold.")
schemas_app = typer.Typer(no_args_is_help=True, help="JSON Schemas from the models.")


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
        raise Mistake(f"{drift.contract}: {drift.detail}: it is released, so this needs a new version")


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
