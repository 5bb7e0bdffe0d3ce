"""The faults: each is one function that breaks something of the field, waits, and mends it.

A new one is a function with `@fault`; its name and first line are what the run tells of it.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.local.broker import Broker
from tests.chaos.crew import Member
from tests.faults.three import kill, stopped

AWAY_SECONDS = 2.0  # until a supervisor starts again what died
FROZEN_SECONDS = 10.0  # more than the 6 s after which a group gives a member's partitions to others
BROKER_SECONDS = 8.0
CUSTOMER_SECONDS = 6.0
HANGS_SECONDS = 20.0  # deliver waits 15


class Server(NamedTuple):
    """What the customer's server can be made to do: answer by that status, or so many seconds late."""

    answers: Callable[[int], None]
    takes: Callable[[float], None]


class Field(NamedTuple):
    """All that can break."""

    members: Sequence[Member]
    brokers: Sequence[Broker]
    server: Server

    def all_of(self, *stages: str) -> list[Member]:
        """The processes of these stages."""
        return [member for member in self.members if member.stage in stages]


Fault = Callable[[Field, random.Random], None]
FAULTS: list[Fault] = []


def fault(does: Fault) -> Fault:
    """Adds it to those that are drawn from."""
    FAULTS.append(does)
    return does


def bag(dice: random.Random) -> list[Fault]:
    """All faults, in an order of the dice."""
    return dice.sample(FAULTS, len(FAULTS))


def _killed(member: Member) -> None:
    member.kill()
    time.sleep(AWAY_SECONDS)
    member.start()


@fault
def capture_is_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of capture and its workers; its spool stays."""
    _killed(dice.choice(field.all_of("capture")))


@fault
def enrich_is_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of one of two enrich workers."""
    _killed(dice.choice(field.all_of("enrich")))


@fault
def all_of_enrich_is_killed(field: Field, _dice: random.Random) -> None:
    """kill -9 of both at once."""
    for member in field.all_of("enrich"):
        member.kill()
    time.sleep(AWAY_SECONDS)
    for member in field.all_of("enrich"):
        member.start()


@fault
def deliver_is_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of one of three deliver workers."""
    _killed(dice.choice(field.all_of("deliver")))


@fault
def the_console_is_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of the console."""
    _killed(dice.choice(field.all_of("console")))


@fault
def everything_is_killed(field: Field, _dice: random.Random) -> None:
    """kill -9 of every process but the brokers, as a machine that dies."""
    for member in field.members:
        member.kill()
    for member in field.members:
        member.start()


@fault
def a_stage_is_rolled(field: Field, dice: random.Random) -> None:
    """SIGTERM of each worker of a stage in turn, each ready before the next goes."""
    for member in field.all_of(dice.choice(["capture", "enrich", "deliver"])):
        member.stop()
        member.start()
        member.wait()


@fault
def a_worker_is_frozen(field: Field, dice: random.Random) -> None:
    """SIGSTOP of an enrich or deliver worker until its partitions are another's; then it goes on, a zombie."""
    with dice.choice(field.all_of("enrich", "deliver")).frozen():
        time.sleep(FROZEN_SECONDS)


@fault
def capture_is_frozen(field: Field, dice: random.Random) -> None:
    """SIGSTOP of capture for a moment: its deadlines pass while it sleeps."""
    with dice.choice(field.all_of("capture")).frozen():
        time.sleep(AWAY_SECONDS)


@fault
def a_broker_is_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of one of three brokers."""
    broker = dice.choice(field.brokers)
    kill(broker)
    time.sleep(BROKER_SECONDS)
    broker.start()


@fault
def a_broker_is_frozen(field: Field, dice: random.Random) -> None:
    """SIGSTOP of one of three brokers until the others have taken over."""
    with stopped(dice.choice(field.brokers)):
        time.sleep(FROZEN_SECONDS)


@fault
def a_broker_and_a_worker_are_killed(field: Field, dice: random.Random) -> None:
    """kill -9 of a broker, and of a worker while it is away."""
    broker = dice.choice(field.brokers)
    kill(broker)
    _killed(dice.choice(field.all_of("capture", "enrich", "deliver")))
    time.sleep(BROKER_SECONDS)
    broker.start()


@fault
def the_customer_answers_500(field: Field, _dice: random.Random) -> None:
    """Every POST is refused for a while."""
    field.server.answers(500)
    time.sleep(CUSTOMER_SECONDS)
    field.server.answers(200)


@fault
def the_customer_hangs(field: Field, _dice: random.Random) -> None:
    """Every POST is read, and answered after deliver's patience ended."""
    field.server.takes(HANGS_SECONDS)
    field.server.answers(500)  # what nobody hears of is not accepted
    time.sleep(CUSTOMER_SECONDS)
    field.server.takes(0.0)
    field.server.answers(200)
