"""Every worker counts in its own row, and any of them shows the sum."""

from pipeline import __version__
from pipeline.capture import counts


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
    counts.waiting(one, 5)
    counts.waiting(one, 2)
    counts.waiting(two, 1)
    shown = counts.text([one, two])
    assert [line for line in shown.splitlines() if not line.endswith(" 0")] == [
        "# HELP loopwire_capture_requests_total Requests by kind and outcome.",
        "# TYPE loopwire_capture_requests_total counter",
        'loopwire_capture_requests_total{kind="open",outcome="safe"} 2',
        'loopwire_capture_requests_total{kind="click",outcome="lost"} 1',
        'loopwire_capture_requests_total{kind="click",outcome="bad"} 1',
        "# HELP loopwire_capture_ack_seconds How long hits waited for their acknowledgement.",
        "# TYPE loopwire_capture_ack_seconds histogram",
        'loopwire_capture_ack_seconds_bucket{le="0.001"} 1',
        'loopwire_capture_ack_seconds_bucket{le="0.0025"} 1',
        *(f'loopwire_capture_ack_seconds_bucket{{le="{bound}"}} 2' for bound in counts.BOUNDS[2:]),
        'loopwire_capture_ack_seconds_bucket{le="+Inf"} 3',
        "loopwire_capture_ack_seconds_count 3",
        "loopwire_capture_ack_seconds_sum 11.004000",
        "# HELP loopwire_capture_waiting Hits that wait for their acknowledgement.",
        "# TYPE loopwire_capture_waiting gauge",
        "loopwire_capture_waiting 3",
        "# HELP loopwire_capture_build Always 1: its label is the version that runs.",
        "# TYPE loopwire_capture_build gauge",
        f'loopwire_capture_build{{version="{__version__}"}} 1',
    ]
    assert shown.endswith("\n")


def test_what_never_happened_is_shown_as_0() -> None:
    shown = counts.text(rows(1))
    assert 'loopwire_capture_requests_total{kind="open",outcome="lost"} 0\n' in shown
