"""The house stands: who may import whom, and each name (topic, contract, metric, setting) has its one place."""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from pipeline import flow, metrics, settings, topics
from pipeline.capture.counts import Metric
from pipeline.data import folder
from pipeline.model.contracts import CONTRACTS
from pipeline.settings import Settings
from tests.examples import FOLDER

ROOT = Path(__file__).parent.parent
LINE = ("capture", "enrich", "route", "deliver")
STAGES = (*LINE, "console")
# Names are without `pipeline.`; a stage's file that is not named here is on the floor of rules.
FLOORS = {"": 0, "model": 0, "topics": 1, "record": 1, "settings": 1, "data": 1, "keys": 1, "metrics": 1, "schemas": 1,
          "tallies": 1, "guard": 1, "mac": 1, "verification": 1, **dict.fromkeys(STAGES, 2), "links": 2,
          "kafka": 3, "outbound": 3, "sockets": 3, "kept": 3, "multi": 3, "calls": 3,
          "health": 3, "ending": 3,
          **{f"{one}.run": 4 for one in STAGES}, "flow": 2, "cli": 5, "local": 5, "__main__": 5}  # fmt: skip
WORLD = {"asyncio", "confluent_kafka", "http", "multiprocessing", "os", "pycurl", "random", "requests", "secrets",
         "select", "signal", "socket", "subprocess", "sys", "threading", "time", "uvloop"}  # fmt: skip
# A door that is more than one file. These stand on the floor of run.py, and only it and its parts may import them.
DOORS = {
    "route.rereads": "reads events again for route's run.py",
    "capture.workers": "forks, watches and ends capture's processes for its run.py",
    "capture.listening": "accepts connections for capture's run.py",
    "capture.talking": "reads a connection's requests for capture's listening.py",
    "capture.serving": "reads requests, and looks after time, for capture's run.py",
    "capture.owing": "holds answers back until their hits are safe for capture's run.py",
    "capture.spool": "keeps hits on the disk for capture's run.py",
    "capture.held": "writes, locks and removes the files of capture's spool for its run.py",
    "capture.lasting": "replaces a producer that ended for capture's run.py",
    "capture.draining": "sends what is on the disk for capture's run.py",
    "capture.following": "follows what accounts chose, on a thread, for capture's run.py",
    "console.follower": "reads topics on a thread for console's run.py",
    "deliver.wire": "posts, produces and tells the time for deliver's run.py",
    "deliver.pulse": "takes how late deliver's event loop is",
    "deliver.deliveries": "reads deliveries on a thread for deliver's run.py",
    "deliver.recall": "reads what waits for ordered loops for deliver's run.py",
    "deliver.rechecks": "looks for verification files again for deliver's run.py",
    "console.watching": "reads what happens now for console's run.py",
    "console.probing": "asks stages and Kafka how they are for console's run.py",
    "enrich.feeding": "fetches hits, keeps the tables up and commits for enrich's run.py",
    "enrich.joiner": "joins on the event loop for enrich's run.py",
    "enrich.writer": "writes on the event loop for enrich's run.py",
    "enrich.refusals": "holds what Kafka did not write for enrich's run.py",
    "enrich.telling": "tells changes of profiles for enrich's run.py",
    "enrich.rewind": "reads hits of before again for enrich's run.py",
    "enrich.disk": "keeps profiles in DATA for enrich's run.py",
    "enrich.shelf": "keeps those of one partition",
    "enrich.store": "keeps them in RocksDB",
    "console.past": "asks Kafka of the past for console's run.py",
    "console.recorder": "reads attempts into the store for console's run.py",
    "console.store.database": "holds the connections of the store for console's run.py",
    "console.hashing": "hashes passwords on threads for console's run.py",
    "console.workbench": "makes links on threads for console's run.py",
    "console.fetching": "waits for outbound calls for console's run.py",
}
# What a rule may use of the world after all.
ALLOWED = {
    ("console.directory", "asyncio"): "futures and locks: whoever wrote waits until the picture shows it",
    ("capture.wording", "http"): "HTTPStatus: the words that belong to a status's number",
    ("console.api", "confluent_kafka"): "KafkaException becomes a problem document",
    ("console.pages.door", "confluent_kafka"): "KafkaException becomes a page",
    ("console.snippets.verify", "time"): "shown to customers, never run here",
}
# One stage's file that another may import.
SHARED = {("deliver.run", "route.run"): "the router lives in the deliver process"}

FILES = {
    ".".join(path.relative_to(ROOT / "pipeline").with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
}


def _floor(name: str) -> int:
    if name in DOORS:
        return 4
    return next(FLOORS[prefix] for prefix in (name, name.partition(".")[0]) if prefix in FLOORS)


def _imports(node: ast.AST, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules imported below a node, and whether only once a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((name.name, lazy) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports hide where a name lives"
            whole = [f"{child.module}.{name.name}" for name in child.names]
            yield from ((one if one.removeprefix("pipeline.") in FILES else str(child.module), lazy) for one in whole)
        else:
            yield from _imports(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _wrong(name: str, imported: str, lazy: bool) -> str | None:
    """What is wrong with a file importing a module, if anything is."""
    stage, rule = name.partition(".")[0], _floor(name) == 2
    if imported.partition(".")[0] != "pipeline":
        outside = imported.partition(".")[0]
        return "touches the world" if rule and outside in WORLD and (name, outside) not in ALLOWED else None
    other = imported.partition(".")[2]
    theirs = other.partition(".")[0]
    if _floor(other) > _floor(name):
        return "is on a higher floor"
    if other in DOORS and not (name.endswith(".run") or (name in DOORS and stage == theirs)):
        return "is a part of run.py"
    if stage in LINE and theirs in STAGES and theirs != stage and (name, other) not in SHARED:
        return "is another stage's"
    if other.endswith(".run") and stage != theirs and (name, other) not in SHARED and not (stage == "cli" and lazy):
        return "is a stage's door"
    return None


def test_nothing_imports_from_a_higher_floor_and_rules_know_nothing_of_the_world() -> None:
    found = [
        f"{name} imports {imported}, which {wrong}"
        for name, path in FILES.items()
        for imported, lazy in _imports(ast.parse(path.read_text()))
        if (wrong := _wrong(name, imported, lazy))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "imported", "lazy", "wrong"),
    [
        ("model.hits", "pipeline.topics", False, "is on a higher floor"),
        ("enrich.join", "pipeline.model.hits", False, None),
        ("enrich.join", "pipeline.kafka.seam", False, "is on a higher floor"),
        ("enrich.join", "pipeline.enrich.run", True, "is on a higher floor"),
        ("enrich.join", "time", False, "touches the world"),
        ("enrich.join", "urllib.parse", False, None),
        ("enrich.run", "time", False, None),
        ("enrich.join", "pipeline.route.matching", False, "is another stage's"),
        ("enrich.run", "pipeline.route.run", False, "is another stage's"),
        ("deliver.run", "pipeline.route.run", False, None),
        ("route.run", "pipeline.deliver.run", False, "is another stage's"),
        ("outbound", "pipeline.guard", False, None),
        ("console.track", "pipeline.capture.tokens", False, None),
        ("console.run", "pipeline.capture.run", False, "is a stage's door"),
        ("capture.tokens", "pipeline.console.track", False, "is another stage's"),
        ("console.api", "pipeline.console.follower", False, "is on a higher floor"),
        ("local.up", "pipeline.console.follower", False, "is a part of run.py"),
        ("enrich.telling", "pipeline.enrich.joiner", False, None),
        ("enrich.telling", "pipeline.route.rereads", False, "is a part of run.py"),
        ("local.up", "pipeline.deliver.run", True, "is a stage's door"),
        ("cli.stages", "pipeline.deliver.run", True, None),
        ("cli.stages", "pipeline.deliver.run", False, "is a stage's door"),
        ("cli.accounts", "pipeline.capture.tokens", True, None),
    ],
)
def test_the_rule_sees_what_breaks_it(name: str, imported: str, lazy: bool, wrong: str | None) -> None:
    assert _wrong(name, imported, lazy) == wrong


def test_every_exception_is_still_needed() -> None:
    used = {
        (name, imported.removeprefix("pipeline.") if imported.startswith("pipeline.") else imported.partition(".")[0])
        for name, path in FILES.items()
        for imported, _ in _imports(ast.parse(path.read_text()))
    }
    assert {*ALLOWED, *SHARED} <= used
    assert set(DOORS) <= set(FILES)


# Contract section 6.
DAY = "86400000"
LADDER = {"5s": 5, "1m": 60, "5m": 300, "30m": 1800, "2h": 7200, "6h": 21_600, "12h": 43_200, "24h": 86_400}


def _kept(days: int, more_seconds: int = 0) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str((days * 86_400 + more_seconds) * 1000)}


COMPACTED = {"cleanup.policy": "compact", "retention.ms": "-1"}
CLUSTER = {
    "hits": (12, _kept(7)),
    "profiles": (12, COMPACTED | {"min.compaction.lag.ms": str(7 * int(DAY))}),
    "tags": (12, COMPACTED),
    "events": (12, _kept(30)),
    "accounts": (1, COMPACTED),
    "loops": (1, COMPACTED),
    "replay-states": (1, {"cleanup.policy": "compact,delete", "retention.ms": str(30 * int(DAY))}),
    "loop-states": (1, COMPACTED),
    "deliveries": (12, _kept(7)),
    "batches": (12, _kept(7)),
    **{f"deliveries-retry-{delay}": (12, _kept(7, seconds)) for delay, seconds in LADDER.items()},
    "deliveries-dead": (
        12,
        {"cleanup.policy": "compact,delete"}
        | dict.fromkeys(("retention.ms", "delete.retention.ms"), str(30 * int(DAY))),
    ),
    "hits-dead": (12, _kept(30)),
    "replays": (12, _kept(7)),
    "attempts": (12, _kept(30)),
}
KEYS_AND_VALUES = {
    "hits": ("ACCOUNT/PROFILE", "hit.v1"),
    "profiles": ("ACCOUNT/PROFILE", "profile.v1"),
    "tags": ("ACCOUNT/MAILING", "mailing.v1"),
    "events": ("ACCOUNT/PROFILE", "event.v1"),
    "accounts": ("ACCOUNT", "account.v1"),
    "loops": ("LOOP", "loop.v1"),
    "loop-states": (
        "LOOP, LOOP/PARTITION for what it missed of a partition of events, LOOP/failing, LOOP/checked",
        "loop-state.v1",
    ),
    "replay-states": ("REPLAY, or REPLAY/PARTITION for how far it came in a partition of events", "replay.v1"),
    "deliveries": ("LOOP", "delivery.v1"),
    "batches": ("LOOP", "delivery.v1"),
    "deliveries-retry": ("LOOP", "delivery.v1"),
    "deliveries-dead": ("LOOP/DELIVERY", "delivery.v1"),
    "hits-dead": ("as the source", None),
    "replays": ("LOOP", "delivery.v1"),
    "attempts": ("LOOP", "attempt.v1"),
}
# What no stage of the line reads, and who does.
READ_BY_PEOPLE = {topics.HITS_DEAD}


def test_the_cluster_gets_the_topics_of_the_contract_kept_as_it_says() -> None:
    ladder = settings.read().retry_ladder
    wanted = topics.wanted(topics.read(), 12, ladder)
    assert {topic.name: (topic.partitions, topic.config) for topic in wanted} == CLUSTER
    assert len(wanted) == len(CLUSTER)


def test_each_topic_has_the_key_and_the_contract_that_the_contract_says() -> None:
    assert {name: (topic.key, topic.value) for name, topic in topics.read().items()} == KEYS_AND_VALUES


def test_each_topic_has_one_constant() -> None:
    constants = [value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)]
    assert sorted(constants) == sorted(topics.read())


def test_no_file_but_topics_py_spells_a_topic_s_name() -> None:
    declared = {name for name in topics.read() if "-" in name}  # the others are words of their own
    spelled = [
        (name, node.value)
        for name, path in FILES.items()
        if name != "topics"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in declared
    ]
    assert spelled == []


def test_the_topics_of_a_family_share_a_key_space() -> None:
    declared = topics.read()
    assert sorted(topics.family(declared, "profile")) == ["events", "hits", "profiles"]
    assert sorted(topics.family(declared, "loop")) == ["batches", "deliveries", "deliveries-retry", "replays"]


def test_each_contract_is_some_topic_s_and_has_a_schema_and_an_example() -> None:
    assert {topic.value for topic in topics.read().values()} - {None} == set(CONTRACTS)
    for name in CONTRACTS:
        assert (folder("schemas") / f"{name}.json").is_file()
        assert list((FOLDER / name).glob("*.json"))


def test_the_flow_names_declared_topics_and_each_is_written_and_read_by_someone() -> None:
    read = {topic for stage in flow.FLOW for topic in (*stage.reads, *stage.tables)}
    written = {topic for stage in flow.FLOW for topic in stage.writes}
    assert read | READ_BY_PEOPLE == written == set(topics.read())
    assert not read & READ_BY_PEOPLE


def test_the_flow_names_the_stages_and_the_file_that_decides() -> None:
    assert [stage.name for stage in flow.FLOW] == list(STAGES)
    for stage in flow.FLOW:
        assert (ROOT / "pipeline" / stage.decides).is_file()
        assert stage.decides.startswith(f"{stage.name}/")


def test_every_metric_is_a_member_of_its_literal_and_of_no_other() -> None:
    ours, captures = set(metrics.NAMES), set(get_args(Metric))
    assert not ours & captures
    used = set()
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used |= set(re.findall(r"^loopwire_[a-z_]+", node.value))
    plain = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in used}
    assert plain == ours | captures


def test_metrics_are_made_in_one_file() -> None:
    makers = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    made = [
        name
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        if makers & {one.name for one in node.names}
    ]
    assert made == ["metrics"]


def _lines(name: str) -> list[str]:
    return (ROOT / "deploy" / name).read_text().splitlines()


def test_every_setting_is_in_the_reference_in_order_with_a_comment_of_its_own() -> None:
    lines = _lines("reference.env")
    named = [(line.partition("=")[0], before) for before, line in pairwise(lines) if "=" in line
             if not line.startswith("#")]  # fmt: skip
    assert [name for name, _ in named] == [settings.PREFIX + name.upper() for name in Settings.model_fields]
    assert [name for name, comment in named if not re.fullmatch(r"# .{20,}", comment)] == []


def test_the_reference_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOPWIRE_DATA")
    assert settings.read(_env_file=ROOT / "deploy" / "reference.env") == settings.read()


def test_the_minimal_settings_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOPWIRE_DATA")
    read = settings.read(_env_file=ROOT / "deploy" / "minimal.env")
    assert (read.kafka, read.topic_replication, read.tracking_url) == (
        "kafka-1:9092,kafka-2:9092,kafka-3:9092", 3, "https://t.example.com",
    )  # fmt: skip
    assert len(settings.key_bytes(read.master_key)) == 32
    assert list(settings.token_keys(read.token_keys)) == ["1"]
    assert read.admin_key
    assert read.retry_ladder[0] == timedelta(seconds=5)


def test_who_hears_of_a_produced_record_judges_what_he_hears() -> None:
    """`error is None` alone is no proof that a record is in its topic: see kafka/proof.py."""
    told = [
        (path.name, node)
        for path in (ROOT / "pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and re.search(r"error: KafkaError \| None, \w+: Message", ast.unparse(node))
    ]
    assert len(told) > 6
    judges = re.compile(r"\b(?:fault|receipt)\(")
    assert [
        f"{name}: {node.name}" for name, node in told if not judges.search(ast.unparse(ast.Module(node.body, [])))
    ] == ["proof.py: fault"]


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python 3.11.0 to 3.11.4, Debian's among them, ends such a match in the wrong place (cpython 106052)."""
    wrong = re.compile(r"\)(?:\*|\+|\?|\})\+(?!,)")  # but for a list of letters
    sources = [path for path in (ROOT / "pipeline").rglob("*.py") if wrong.search(path.read_text())]
    assert [path.name for path in sources] == []
