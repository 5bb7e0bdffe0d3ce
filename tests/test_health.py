"""What a stage without a web page shows to those who watch it."""

from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest
import requests

from pipeline import health
from pipeline.settings import SettingsError


class Stage:
    """Ready or not."""

    ready = False


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def server(stage: Stage) -> Iterator[ThreadingHTTPServer]:
    made = health.serve("127.0.0.1", 0, lambda: stage.ready)
    yield made
    made.shutdown()
    made.server_close()


def _get(server: ThreadingHTTPServer, path: str) -> tuple[int, str, str]:
    answer = requests.get(f"http://127.0.0.1:{server.server_port}{path}", timeout=10)
    return answer.status_code, answer.headers["Content-Type"].partition(";")[0], answer.text


def test_it_is_live_from_the_start_and_ready_when_the_stage_says_so(server: ThreadingHTTPServer, stage: Stage) -> None:
    assert _get(server, "/live") == (200, "text/plain", "live\n")
    assert _get(server, "/ready") == (503, "text/plain", "not ready\n")
    stage.ready = True
    assert _get(server, "/ready?verbose=1") == (200, "text/plain", "ready\n")
    stage.ready = False
    assert _get(server, "/ready") == (503, "text/plain", "not ready\n")


def test_metrics_are_shown_as_prometheus_reads_them(server: ThreadingHTTPServer) -> None:
    status, kind, text = _get(server, "/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "python_info" in text


def test_other_paths_say_what_there_is(server: ThreadingHTTPServer) -> None:
    assert _get(server, "/") == (404, "text/plain", "there is /live, /ready and /metrics\n")


def test_a_connection_is_kept(server: ThreadingHTTPServer) -> None:
    with requests.Session() as session:
        for _ in range(3):
            assert session.get(f"http://127.0.0.1:{server.server_port}/live", timeout=10).ok


def test_a_port_that_is_taken_is_named(server: ThreadingHTTPServer) -> None:
    with pytest.raises(SettingsError) as refused:
        health.serve("127.0.0.1", server.server_port, lambda: True)
    assert str(refused.value) == (
        f"LOOPWIRE_METRICS_PORT: 127.0.0.1:{server.server_port} can't be used: Address already in use"
    )
