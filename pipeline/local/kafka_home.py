"""Where the Kafka jars are: a folder in the user's cache, filled once from the repositories jgo knows."""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import requests
from jgo.config import GlobalSettings
from jgo.maven import Artifact, MavenContext, PythonResolver
from requests.adapters import HTTPAdapter
from urllib3 import Retry

VERSION = "4.3.1"
# `!`: take the version as it stands. Without it jgo imports each root's dependencyManagement, and log4j's
# would put kafka-clients 3.9 under a 4.3 broker. The binding is the one for slf4j 1.7, which Kafka logs by;
# its version is that of the log4j-core Kafka asks for. `kafka-tools` stays out: format and start live in
# kafka_2.13 itself, and 45 of its 91 jars (Connect, Jetty, Jersey) never run here.
ROOTS = (f"org.apache.kafka:kafka_2.13:{VERSION}!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!")
# sha256 over the lines "<sha256 of a jar>  <its name>", sorted by name: what we tested is what runs.
DIGEST = "6953bfc4d23c24004ed3d44b741c7a4538a923f476f85ff7cf086e87ead4b49c"
JOBS = 8  # downloads at once; more won nothing
BUSY = (429, 502, 503, 504)  # asked again, after Retry-After where the answer has one


class BrokerError(Exception):
    """The embedded broker can't run; the message is the one line the user reads."""


class Jars(NamedTuple):
    """Jars that stand in one folder: what they are called together, what is asked for, and their `digest`."""

    name: str  # Kafka 4.3.1
    roots: Sequence[str]
    digest: str


def kafka_home() -> Path:
    """The folder with Kafka's jars as flat files, fetched first if need be; BrokerError if that fails."""
    return home_of(Jars(f"Kafka {VERSION}", ROOTS, DIGEST))


def home_of(jars: Jars) -> Path:
    """The folder with the jars, as for Kafka's own."""
    folder = jars.name.lower().replace(" ", "-")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopwire" / folder
    try:
        if not _whole(home):
            with _alone(home):
                if not _whole(home):  # another process may have filled it while we waited
                    _fill(home, jars)
    except OSError as wrong:  # requests' errors are OSErrors too
        raise BrokerError(_sentence(jars, f"{home} (the network is needed once)", wrong)) from wrong
    except (RuntimeError, ValueError) as wrong:  # jgo's, and ours
        raise BrokerError(_sentence(jars, str(home), wrong)) from wrong
    return home


def digest(folder: Path) -> str:
    """One sha256 for all the jars in `folder`, names and bytes."""
    sums = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in sorted(folder.glob("*.jar"))}
    return hashlib.sha256("".join(f"{of}  {name}\n" for name, of in sums.items()).encode()).hexdigest()


class KeptConnections(PythonResolver):
    """jgo's resolver over kept connections: 0.8 s for all 127 files.

    jgo's own `download` opens a connection for each file and one more for its checksum: 50 s for 252 files.
    """

    def __init__(self, session: requests.Session) -> None:
        super().__init__()
        self._session = session
        retry = Retry(3, connect=1, backoff_factor=0.5, status_forcelist=BUSY, raise_on_status=False)
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=JOBS, max_retries=retry))

    def download(self, artifact: Artifact) -> Path:
        """Fetch one file into the context's `repo_cache`; RuntimeError if no repository has it."""
        name = f"{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        path = Path(artifact.context.repo_cache, name)
        for repository in artifact.context.remote_repos.values():
            response = self._session.get(f"{repository}/{name}", timeout=artifact.context.timeout)
            if response.status_code == requests.codes.ok:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(response.content)
                return path
        raise RuntimeError(f"no repository has {artifact}")


def _whole(home: Path) -> bool:
    return (home / "complete").exists()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(home: Path, jars: Jars) -> None:
    began = monotonic()
    building = home.with_name(f"{home.name}.building")
    shutil.rmtree(building, ignore_errors=True)  # what a killed fetch left; the lock makes it ours
    for jar in _fetch(building / "maven", jars):
        jar.rename(building / jar.name)
    shutil.rmtree(building / "maven")
    _check(building, jars)
    (building / "complete").touch()
    shutil.rmtree(home, ignore_errors=True)  # without `complete` it is nobody's
    building.rename(home)
    _say(f"{jars.name}: jars fetched in {monotonic() - began:.1f} s\n")


def _fetch(repo_cache: Path, jars: Jars) -> list[Path]:
    _say(f"{jars.name}: fetching jars, once ...")
    try:
        with requests.Session() as session:
            context = MavenContext(resolver=KeptConnections(session), repo_cache=repo_cache)
            context.remote_repos.update(GlobalSettings.load().repositories)  # a mirror named in jgo.conf
            roots, others = context.resolver.resolve([context.create_dependency(root) for root in jars.roots])
            return list(_downloaded(jars.name, [dependency.artifact for dependency in (*roots, *others)]))
    finally:
        _say("\n")


def _downloaded(name: str, wanted: list[Artifact]) -> Iterator[Path]:
    pool = ThreadPoolExecutor(JOBS)
    try:
        for done, jar in enumerate(as_completed([pool.submit(artifact.resolve) for artifact in wanted]), 1):
            if sys.stderr.isatty():  # a log would keep every count
                _say(f"\r{name}: fetching jars, once ... {done} of {len(wanted)}")
            yield jar.result()
    finally:
        pool.shutdown(cancel_futures=True)  # the first failure, or Ctrl-C, ends the rest


def _check(building: Path, jars: Jars) -> None:
    found = digest(building)
    if found != jars.digest:
        raise RuntimeError(f"the jars are not the ones Loopwire was tested with: digest {found}")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _sentence(jars: Jars, where: str, wrong: Exception) -> str:
    why = " ".join(f"{type(wrong).__name__}: {wrong}".split())
    return f"{jars.name} can't be fetched into {where}: {why[:200]}"
