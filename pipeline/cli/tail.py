"""`tail`: a topic as it is written, a readable line a record, until Ctrl-C."""

import select
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
import typer
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from pipeline import settings
from pipeline.cli.screen import say, warn
from pipeline.cli.told import attempt_line, event_line
from pipeline.kafka.refusal import check_passing
from pipeline.kafka.seam import Consumer, Kafka, Message, at_hand
from pipeline.model.deliveries import Attempt
from pipeline.model.events import Event
from pipeline.topics import ATTEMPTS, EVENTS

app = typer.Typer(no_args_is_help=True, help="What happens, live: one readable line each. Times are in UTC.")

AT_ONCE = 500
GLANCE_SECONDS = 0.25  # as long may Ctrl-C have to wait
Noun = TypeVar("Noun", Event, Attempt)

AccountOption = Annotated[str, typer.Option("--account", help="Only this account's.")]
LoopOption = Annotated[str, typer.Option("--loop", help="Only this loop's.")]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="What is still kept first, partition by partition.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Each record as it is, a JSON object a line.")]


class Watch(NamedTuple, Generic[Noun]):
    """A topic, what its records are, which of them are wanted, and how one is told."""

    topic: str
    noun: type[Noun]
    wanted: Callable[[Noun], bool]
    line: Callable[[Noun], str]


@app.command()
def events(account: AccountOption = "", from_beginning: FromBeginning = False, as_json: AsJson = False) -> None:
    """Events as enrich writes them: opens, clicks, bounces, with recipient and tags."""
    watch = Watch(EVENTS, Event, lambda event: account in {"", event.account}, event_line)
    _tail(watch, from_beginning, as_json)


@app.command()
def attempts(
    account: AccountOption = "", loop: LoopOption = "", from_beginning: FromBeginning = False, as_json: AsJson = False
) -> None:
    """POSTs as deliver makes them: the answer, how long it took, what comes next."""

    def wanted(attempt: Attempt) -> bool:
        return account in {"", attempt.account} and loop in {"", attempt.loop}

    _tail(Watch(ATTEMPTS, Attempt, wanted, attempt_line), from_beginning, as_json)


def _tail(watch: Watch[Noun], from_beginning: bool, as_json: bool) -> None:
    from pipeline.kafka.client import Cluster  # noqa: PLC0415

    try:
        follow(Cluster(settings.read()), watch, from_beginning, as_json)
    except KeyboardInterrupt:
        return


def follow(kafka: Kafka, watch: Watch[Noun], from_beginning: bool, as_json: bool) -> None:
    """Prints until it is interrupted; says on stderr when it has begun."""
    starts = _starts(kafka, watch.topic, from_beginning)
    reader = kafka.reader()
    try:
        reader.assign(starts)
        warn(f"reading {kafka.full(watch.topic)}, {len(starts)} partitions; Ctrl-C ends it")
        for message in _messages(reader):
            _tell(message, watch, as_json)
    finally:
        reader.close()


def _starts(kafka: Kafka, topic: str, from_beginning: bool) -> list[TopicPartition]:
    """All partitions, at their first record or at their end of now."""
    places = [(topic, number) for number in range(kafka.partitions([topic])[topic])]
    starts = dict.fromkeys(places, OFFSET_BEGINNING) if from_beginning else kafka.ends(places)
    return [TopicPartition(kafka.full(topic), number, start) for (_, number), start in starts.items()]


def _messages(reader: Consumer) -> Iterator[Message]:
    while not _nobody_reads():
        for message in at_hand(reader, AT_ONCE, GLANCE_SECONDS):
            error = message.error()
            if error is None:
                yield message
            else:
                check_passing(error, message.topic())


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader went away: `| head` would else be noticed at the next record only."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # what stands in for stdout in a test is no file
        return False
    return any(event & select.POLLERR for _, event in watch.poll(0))


def _tell(message: Message, watch: Watch[Noun], as_json: bool) -> None:
    value = message.value()
    if value is None:
        return
    try:
        record = msgspec.json.decode(value, type=watch.noun)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        warn(f"partition {message.partition()}, offset {message.offset()} can't be read: {wrong}")
        return
    if not watch.wanted(record):
        return
    if as_json:
        sys.stdout.write(msgspec.json.format(value, indent=-1).decode() + "\n")
        sys.stdout.flush()
    else:
        say(watch.line(record))
