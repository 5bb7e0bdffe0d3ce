"""What a cluster does not allow is told by the rule that is missing; what else hinders, by what was heard of it."""

from contextlib import nullcontext

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.refusal import check_passing, expelled, forbidden, is_unbelieved, missing, unanswered, unwritten

TOPIC = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
GROUP = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
AWAY = KafkaError(KafkaError._TRANSPORT, "Failed to get metadata")
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
REFUSED = KafkaError(KafkaError._TRANSPORT, "k:1/bootstrap: Connection refused (after 0ms in state CONNECT)")
PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "k:1: Authentication failed (after 104ms in state AUTH_REQ)")
CERTIFICATE = KafkaError(KafkaError._SSL, "k:1: certificate verify failed (after 1ms in state SSL_HANDSHAKE)")
WHERE = "; deploy/README.md, Access, has what is needed"


def test_a_rule_that_is_missing_is_named() -> None:
    assert (
        forbidden(TOPIC, "WRITE", "topic p-events").str()
        == f"the cluster does not allow WRITE on topic p-events{WHERE}"
    )
    assert forbidden(TOPIC, "WRITE", "topic p-events").code() == TOPIC.code()
    assert forbidden(AWAY, "WRITE", "topic p-events") is AWAY


def test_of_many_rules_some_are_named() -> None:
    assert missing(list("abcdef")) == f"the cluster does not allow a, b, c, d, e, f{WHERE}"
    assert missing(list("abcdefgh")) == f"the cluster does not allow a, b, c, d, e, f and 2 more{WHERE}"


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (TOPIC, True),
        (GROUP, False),  # nobody reads on for it, but who is a member
        (KafkaError(KafkaError._FATAL, "Fatal error: Broker: Group authorization failed"), True),
        (KafkaError(KafkaError.REQUEST_TIMED_OUT, fatal=True), True),
        (KafkaError(KafkaError.REQUEST_TIMED_OUT), False),
        (AWAY, False),
    ],
)
def test_what_no_waiting_mends_ends_reading(error: KafkaError, final: bool) -> None:
    with pytest.raises(KafkaException) if final else nullcontext():
        check_passing(error, None)


@pytest.mark.parametrize(
    ("error", "is_out"),
    [(GROUP, True), (KafkaError(KafkaError._FATAL, "Fatal error: Broker: Group authorization failed"), True),
     (TOPIC, False), (AWAY, False)],
)  # fmt: skip
def test_who_may_not_be_in_his_group_is_told_its_name(error: KafkaError, is_out: bool) -> None:
    found = expelled(error, "p-loopwire-enrich")
    assert (found is not None and "READ on group p-loopwire-enrich;" in found.args[0].str()) is is_out


def test_what_is_read_or_written_is_named() -> None:
    with pytest.raises(KafkaException, match="READ on topic hits;"):
        check_passing(TOPIC, "hits")
    with pytest.raises(KafkaException) as unnamed:
        check_passing(TOPIC, None)
    assert unnamed.value.args[0] is TOPIC
    assert "WRITE on topic hits;" in unwritten(KafkaException(TOPIC), "hits").args[0].str()
    assert unwritten(KafkaException(AWAY), "hits").args[0] is AWAY


@pytest.mark.parametrize(
    ("heard", "code", "words"),
    [
        ([], AWAY.code(), "Failed to get metadata"),
        ([REFUSED, DOWN], AWAY.code(), "k:1/bootstrap: Connection refused"),
        ([PASSWORD, DOWN, REFUSED], PASSWORD.code(), "k:1: Authentication failed"),
        ([CERTIFICATE, DOWN], CERTIFICATE.code(), "k:1: certificate verify failed"),
        (
            [DOWN, DOWN],
            AWAY.code(),
            "brokers end each connection: is security.protocol in LOOPWIRE_KAFKA_CONFIG what they ask for?",
        ),
    ],
)
def test_who_gets_no_answer_is_told_why(heard: list[KafkaError], code: int, words: str) -> None:
    found = unanswered(KafkaException(AWAY), heard, met=False)
    assert (found.args[0].code(), found.args[0].str()) == (code, words)
    assert is_unbelieved(found) is (code != AWAY.code())


def test_a_cluster_that_was_met_is_only_away() -> None:
    assert unanswered(KafkaException(AWAY), [DOWN], met=True).args[0] is AWAY
    assert unanswered(KafkaException(AWAY), [REFUSED], met=True).args[0].str() == "k:1/bootstrap: Connection refused"
