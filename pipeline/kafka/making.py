"""How every client of Kafka is made: what the settings say of the cluster, and how its troubles are told."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from pipeline.settings import Settings, SettingsError

log = logging.getLogger(__name__)
Client = TypeVar("Client")

# librdkafka's own lines ("Disconnected", "Connection refused") repeat what `_told` says once.
LOG_LEVEL = 2
# For a producer whose end we tell ourselves: librdkafka writes a line of its own to stderr, whatever the level is.
UNHEARD = logging.getLogger("librdkafka")
UNHEARD.disabled = True
SAID_SECONDS = 10.0  # librdkafka repeats itself many times a second


def common(settings: Settings) -> dict[str, Any]:
    """What every client is told: where the brokers are, and what the operator adds (SASL, TLS)."""
    ours = {
        "bootstrap.servers": settings.bootstrap,
        "log_level": LOG_LEVEL,
        "error_cb": _told,
        "reconnect.backoff.max.ms": 1000,  # 10 s by default: a broker that is back would idle as long
    }
    return ours | {name: value for name, value in settings.kafka_config.items() if name not in GROUP_WORDS}


# These are for consumers alone; a producer would warn of them.
GROUP_WORDS = frozenset({"group.protocol", "group.remote.assignor", "session.timeout.ms", "heartbeat.interval.ms"})


def made(kind: Callable[[dict[str, Any]], Client], config: dict[str, Any]) -> Client:
    """A client of that kind; SettingsError where librdkafka does not take the configuration."""
    try:
        return kind(config)
    except KafkaException as refused:
        if refused.args[0].code() != KafkaError._INVALID_ARG:  # noqa: SLF001
            raise
        raise SettingsError(f"LOOPWIRE_KAFKA_CONFIG: {refused.args[0].str()}") from refused


_said: dict[int, float] = {}


def _told(error: KafkaError) -> None:
    """Brokers that are away come back by themselves; say it, once a while for each kind of trouble, and go on."""
    now = time.monotonic()
    if now - _said.get(error.code(), -SAID_SECONDS) >= SAID_SECONDS:
        _said[error.code()] = now
        log.warning("kafka: %s", error.str())
