"""What a cluster does not let us do, in words that say what is missing: librdkafka's own leave out of what."""

import re
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

# No waiting mends these: a rule is missing,
FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
# or one of us two does not believe the other to be who he says he is.
UNBELIEVED = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001
MOST = 6  # rules a line
NOBODY = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 (says no more than that others were told of)
HUNG_UP = "brokers end each connection: is security.protocol in LOOPWIRE_KAFKA_CONFIG what they ask for?"
_HOW_LONG = re.compile(r" \(after \d+ms in state \w+\)")  # another each time: the same trouble would seem a new one


def forbidden(error: KafkaError, operation: str, what: str) -> KafkaError:
    """The error with the rule that is missing, if one is: `what` is a thing's kind and its name on the cluster."""
    return KafkaError(error.code(), missing([f"{operation} on {what}"])) if error.code() in FORBIDDEN else error


def missing(rules: Sequence[str]) -> str:
    """The line that tells of rules that are missing."""
    more = f" and {len(rules) - MOST} more" if len(rules) > MOST else ""
    return f"the cluster does not allow {', '.join(rules[:MOST])}{more}; deploy/README.md, Access, has what is needed"


def is_nobodys(error: KafkaError) -> bool:
    """Whether it is of a group alone, which means nothing to who only bears its name, as librdkafka wants it."""
    return bool(error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED)


def expelled(error: KafkaError, group: str) -> KafkaException | None:
    """What to raise where a member may not be in its group, or not any more; None where it is another error."""
    refused = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    if not is_nobodys(error) and refused.str() not in error.str():  # so it stands in what is fatal
        return None
    return KafkaException(forbidden(refused, "READ", f"group {group}"))


def check_passing(error: KafkaError, topic: str | None) -> None:
    """What a reader does with an error in a record's place: nothing where it passes by itself.

    KafkaException where there is no use in reading on, with the rule that is missing, if one is. Who is no member of a
    group can do without it: see `is_nobodys`. Some errors are of no topic.
    """
    # What a consumer says in a message's place has lost the mark of what is fatal; the code has it.
    fatal = error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001
    if fatal or (error.code() in FORBIDDEN and not is_nobodys(error)):
        raise KafkaException(forbidden(error, "READ", f"topic {topic}") if topic else error)


def unwritten(refused: KafkaException, topic: str) -> KafkaException:
    """The same where a record is refused before it is sent, since the topic may not even be seen."""
    return KafkaException(forbidden(refused.args[0], "WRITE", f"topic {topic}"))


def unanswered(failed: KafkaException, heard: Sequence[KafkaError], *, met: bool) -> KafkaException:
    """Why a cluster does not answer, by what its client `heard` meanwhile: who is not believed knows it at once.

    One that we `met` before is asked for as it should be.
    """
    told = [error for error in heard if error.code() != NOBODY]
    unbelieved = [error for error in told if error.code() in UNBELIEVED]
    for error in (unbelieved or told)[-1:]:
        code = error.code() if unbelieved else failed.args[0].code()
        return KafkaException(KafkaError(code, _HOW_LONG.sub("", error.str())))
    return failed if met or not heard else KafkaException(KafkaError(failed.args[0].code(), HUNG_UP))


def is_unbelieved(failed: KafkaException) -> bool:
    """Whether it is of no use to ask again."""
    return failed.args[0].code() in UNBELIEVED
