"""Every metric has its name, its meaning and its labels here, and nowhere else."""

from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from pipeline import __version__

disable_created_metrics()  # type: ignore[no-untyped-call] # a second number for each count, which nobody reads

Name = Literal[
    "loopwire_enrich_hits",
    "loopwire_enrich_events",
    "loopwire_enrich_dead",
    "loopwire_enrich_batch_hits",
    "loopwire_enrich_lag_records",
    "loopwire_enrich_lag_seconds",
    "loopwire_enrich_unfinished_seconds",
    "loopwire_enrich_table_rows",
    "loopwire_enrich_table_bytes",
    "loopwire_enrich_load_seconds",
    "loopwire_enrich_commit_seconds",
    "loopwire_route_records",
    "loopwire_deliver_attempts",
    "loopwire_deliver_seconds",
    "loopwire_deliver_in_flight",
    "loopwire_deliver_records",
    "loopwire_deliver_held",
    "loopwire_deliver_lanes",
    "loopwire_deliver_failing",
    "loopwire_deliver_waiting",
    "loopwire_deliver_waiting_bytes",
    "loopwire_deliver_gathered",
    "loopwire_deliver_gathered_bytes",
    "loopwire_deliver_overdue_seconds",
    "loopwire_deliver_lag",
    "loopwire_build",
    "loopwire_console_seconds",
    "loopwire_console_attempts",
    "loopwire_console_recording",
]
NAMES: tuple[Name, ...] = get_args(Name)


def counter(name: Name, meaning: str, *labels: str) -> Counter:
    """Something that only grows; Prometheus shows it as `NAME_total`."""
    return Counter(name, meaning, labels)


def gauge(name: Name, meaning: str, *labels: str) -> Gauge:
    """Something that rises and falls."""
    return Gauge(name, meaning, labels)


def histogram(name: Name, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    """How long something took, in seconds, or how much it was."""
    return Histogram(name, meaning, labels, buckets=buckets)


gauge("loopwire_build", "always 1: its label is the version that runs", "version").labels(__version__).set(1)
