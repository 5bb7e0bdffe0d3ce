"""The jars' folder, filled by the real jgo from a real HTTP server with three tiny artifacts."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline.local import kafka_home as home_module
from pipeline.local.kafka_home import VERSION, BrokerError, digest, kafka_home

NEEDS_LIB = """<dependencies><dependency>
  <groupId>org.example</groupId><artifactId>lib</artifactId><version>2</version>
</dependency></dependencies>"""
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.example</groupId><artifactId>{name}</artifactId><version>{version}</version>{rest}</project>"""


class Repository:
    """A Maven repository with `app` 1, which needs `lib` 2; it counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy = 0
        self.files = {
            "/org/example/app/1/app-1.pom": POM.format(name="app", version=1, rest=NEEDS_LIB).encode(),
            "/org/example/app/1/app-1.jar": b"the app",
            "/org/example/lib/2/lib-2.pom": POM.format(name="lib", version=2, rest="").encode(),
            "/org/example/lib/2/lib-2.jar": b"the lib",
        }

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.busy:
            self.busy -= 1
            return 503, b""
        return (200, self.files[path]) if path in self.files else (404, b"")


def served(repository: Repository) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, body = repository.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "loopwire" / f"kafka-{VERSION}"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository()
    with served(repository) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        config = tmp_path / "jgo.conf"
        config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(home_module, "ROOTS", ("org.example:app:1!",))
        monkeypatch.setattr(home_module, "DIGEST", expected(tmp_path, repository))
        yield repository
        server.shutdown()


def expected(tmp_path: Path, repository: Repository) -> str:
    jars = tmp_path / "expected"
    jars.mkdir()
    for path, body in repository.files.items():
        if path.endswith(".jar"):
            (jars / Path(path).name).write_bytes(body)
    return digest(jars)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_jars_are_fetched_once_and_lie_flat_beside_their_marker(repository: Repository, home: Path) -> None:
    assert (kafka_home(), kafka_home()) == (home, home)
    assert names(home) == ["app-1.jar", "complete", "lib-2.jar"]
    assert sorted(repository.asked) == sorted(repository.files)
    assert names(home.parent) == [home.name, f"{home.name}.lock"]


def test_what_a_killed_fetch_left_is_not_taken_for_whole(repository: Repository, home: Path) -> None:
    building = home.with_name(f"{home.name}.building")
    for torn in (home, building):
        torn.mkdir(parents=True)
        (torn / "torn-1.jar").write_bytes(b"half a j")
    assert names(kafka_home()) == ["app-1.jar", "complete", "lib-2.jar"]
    assert not building.exists()


def test_of_two_at_once_one_fetches_and_both_have_it(repository: Repository, home: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        assert [*both.map(lambda _: kafka_home(), range(2))] == [home, home]
    assert len(repository.asked) == len(repository.files)


def test_a_busy_repository_is_asked_again(repository: Repository, home: Path) -> None:
    repository.busy = 1
    assert kafka_home() == home


def test_other_bytes_than_the_tested_ones_are_refused(repository: Repository, home: Path) -> None:
    repository.files["/org/example/lib/2/lib-2.jar"] = b"something else"
    with pytest.raises(BrokerError, match="not the ones Loopwire was tested with"):
        kafka_home()
    assert not home.exists()


def test_a_jar_no_repository_has_is_named(repository: Repository, home: Path) -> None:
    del repository.files["/org/example/lib/2/lib-2.jar"]
    with pytest.raises(BrokerError, match=r"no repository has org\.example:lib:jar:2"):
        kafka_home()
    assert not home.exists()


def test_no_network_is_said_in_one_line(repository: Repository, home: Path, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        nobody = f"[repositories]\ncentral = http://127.0.0.1:{closed.server_port}\n"
    (tmp_path / "jgo.conf").write_text(nobody)
    with pytest.raises(
        BrokerError, match=r"\AKafka 4\.3\.1 can't be fetched into .* \(the network is needed once\): .*\Z"
    ):
        kafka_home()


def test_a_cache_that_cannot_be_written_is_said_in_one_line(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(BrokerError, match="can't be fetched into"):
        kafka_home()


def test_no_registry_is_named_in_the_source() -> None:
    source = Path(home_module.__file__).read_text()
    assert not re.search(r"https?://\w", source)
