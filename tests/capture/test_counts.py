"""Every worker counts in its own row, and any of them shows the sum."""

from pathlib import Path
from typing import get_args

from pipeline import __version__
from pipeline.capture import counts

WAITED = "How long hits waited for their acknowledgement, those that waited in vain too."


def rows(number: int) -> list[counts.Row]:
    return [memoryview(bytearray(counts.ROW * 8)).cast("d") for _ in range(number)]


def test_prometheus_reads_the_sum_of_all_workers() -> None:
    one, two = rows(2)
    counts.answered(one, "open", "safe")
    counts.answered(two, "open", "safe")
    counts.answered(two, "click", "lost")
    counts.answered(two, "click", "bad")
    counts.waited(one, 0.001)
    counts.waited(two, 0.003)
    counts.waited(two, 11.0)
    counts.head(one)
    counts.late(two)
    counts.stands(one, counts.Standing(waiting=5))
    for counted in [one] * 10 + [two]:
        counts.drained(counted)
    counts.stands(one, counts.Standing(2, 20, 300, 4_000, 7.0))
    counts.stands(two, counts.Standing(1, 2, 30, 4_000, 9.4))
    shown = counts.text([one, two])
    assert [line for line in shown.splitlines() if not line.endswith(" 0")] == [
        "# HELP loopwire_capture_requests_total Requests by kind and outcome.",
        "# TYPE loopwire_capture_requests_total counter",
        'loopwire_capture_requests_total{kind="open",outcome="safe"} 2',
        'loopwire_capture_requests_total{kind="click",outcome="lost"} 1',
        'loopwire_capture_requests_total{kind="click",outcome="bad"} 1',
        f"# HELP loopwire_capture_ack_seconds {WAITED}",
        "# TYPE loopwire_capture_ack_seconds histogram",
        'loopwire_capture_ack_seconds_bucket{le="0.001"} 1',
        'loopwire_capture_ack_seconds_bucket{le="0.0025"} 1',
        *(f'loopwire_capture_ack_seconds_bucket{{le="{bound}"}} 2' for bound in counts.BOUNDS[2:]),
        'loopwire_capture_ack_seconds_bucket{le="+Inf"} 3',
        "loopwire_capture_ack_seconds_count 3",
        "loopwire_capture_ack_seconds_sum 11.004000",
        "# HELP loopwire_capture_head_total Hits that asked with HEAD.",
        "# TYPE loopwire_capture_head_total counter",
        "loopwire_capture_head_total 1",
        "# HELP loopwire_capture_late_total Acknowledgements of hits that were spooled meanwhile: duplicates.",
        "# TYPE loopwire_capture_late_total counter",
        "loopwire_capture_late_total 1",
        "# HELP loopwire_capture_drained_total Spooled hits that the broker has acknowledged.",
        "# TYPE loopwire_capture_drained_total counter",
        "loopwire_capture_drained_total 11",
        "# HELP loopwire_capture_waiting Hits that wait to be safe.",
        "# TYPE loopwire_capture_waiting gauge",
        "loopwire_capture_waiting 3",
        "# HELP loopwire_capture_queue Records that librdkafka has not seen acknowledged.",
        "# TYPE loopwire_capture_queue gauge",
        "loopwire_capture_queue 22",
        "# HELP loopwire_capture_spool_bytes What waits in the spool.",
        "# TYPE loopwire_capture_spool_bytes gauge",
        "loopwire_capture_spool_bytes 330",
        "# HELP loopwire_capture_spool_limit_bytes SPOOL_LIMIT: alarm well below it.",
        "# TYPE loopwire_capture_spool_limit_bytes gauge",
        "loopwire_capture_spool_limit_bytes 4000",
        "# HELP loopwire_capture_spool_oldest_seconds How old the oldest segment of the spool is.",
        "# TYPE loopwire_capture_spool_oldest_seconds gauge",
        "loopwire_capture_spool_oldest_seconds 9",
        "# HELP loopwire_capture_build Always 1: its label is the version that runs.",
        "# TYPE loopwire_capture_build gauge",
        f'loopwire_capture_build{{version="{__version__}"}} 1',
    ]
    assert shown.endswith("\n")


def test_what_a_killed_worker_counted_stays_when_another_takes_its_seat() -> None:
    [seat] = rows(1)
    counts.drained(seat)
    counts.stands(seat, counts.Standing(waiting=3))
    counts.stands(seat, counts.Standing())
    shown = counts.text([seat])
    assert "loopwire_capture_drained_total 1\n" in shown
    assert "loopwire_capture_waiting 0\n" in shown


def test_each_metric_is_explained_to_who_operates_it() -> None:
    page = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    shown = {line.split()[2] for line in counts.text(rows(1)).splitlines() if line.startswith("# TYPE")}
    assert len(shown) == len(get_args(counts.Metric))
    assert {name for name in shown if f"\n| `{name}` |" not in page} == set()


def test_what_never_happened_is_shown_as_0() -> None:
    shown = counts.text(rows(1))
    assert 'loopwire_capture_requests_total{kind="open",outcome="lost"} 0\n' in shown
