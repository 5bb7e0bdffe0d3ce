"""What deploy/ says is true: the compose file names settings, stages and versions that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from pipeline import __version__, flow, metrics, settings
from pipeline.enrich import figures
from pipeline.local.broker import QUICK
from pipeline.settings import Settings
from tests.brokers import OFFICIAL, variables
from tests.test_cli import COMMANDS

DEPLOY = Path(__file__).parent.parent / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
BROKERS = [name for name in SERVICES if name.startswith("kafka-")]
OURS = [name for name in SERVICES if name not in BROKERS]
WITHIN = {"route": "deliver"}  # the router lives in the deliver process
SECRETS = {"LOOPWIRE_ADMIN_KEY", "LOOPWIRE_MASTER_KEY", "LOOPWIRE_TOKEN_KEYS"}


def test_the_metrics_of_enrich_are_told_as_they_are() -> None:
    assert figures.READ  # they are made there
    rows = re.findall(
        r"^\| `(loopwire_enrich_\w+)` \| (.*?)(?: \(histogram\))? \|$", (DEPLOY / "README.md").read_text(), re.MULTILINE
    )
    made = {one.name: one for one in REGISTRY.collect() if one.name.startswith("loopwire_enrich_")}
    told = {name + ("_total" if one.type == "counter" else ""): one.documentation for name, one in made.items()}
    assert dict(rows) == told
    assert {name.removesuffix("_total") for name, _ in rows} == {
        name for name in metrics.NAMES if name.startswith("loopwire_enrich_")
    }


def test_each_stage_of_the_flow_is_a_service_of_its_name() -> None:
    stages = {WITHIN.get(stage.name, stage.name) for stage in flow.FLOW}
    assert {name: SERVICES[name]["command"] for name in stages} == {name: [name] for name in stages}
    assert stages | {"topics"} == set(OURS)


def test_each_command_is_one_that_exists() -> None:
    assert [name for name in OURS if tuple(SERVICES[name]["command"]) not in COMMANDS] == []


def test_only_settings_that_exist_are_named() -> None:
    known = {settings.PREFIX + name.upper() for name in Settings.model_fields}
    assert {name for one in OURS for name in SERVICES[one]["environment"]} <= known
    assert set(re.findall(r"LOOPWIRE_[A-Z_]+", TEXT)) <= known


def test_the_settings_that_are_given_can_be_used() -> None:
    for name in OURS:
        given = {
            key.removeprefix(settings.PREFIX).lower(): value for key, value in SERVICES[name]["environment"].items()
        }
        read = settings.read(**{key: value for key, value in given.items() if value and not value.startswith("${")})
        assert read.topic_replication == len(BROKERS)
        assert read.kafka == ",".join(f"{broker}:9092" for broker in BROKERS)


@pytest.mark.parametrize(
    ("stage", "secrets"),
    [
        ("topics", set()),
        ("capture", {"LOOPWIRE_TOKEN_KEYS"}),
        ("enrich", set()),
        ("deliver", {"LOOPWIRE_MASTER_KEY"}),
        ("console", SECRETS),
    ],
)
def test_a_stage_holds_the_secrets_it_needs_and_none_may_be_empty(stage: str, secrets: set[str]) -> None:
    given = SERVICES[stage]["environment"]
    assert SECRETS & set(given) == secrets
    for name in secrets:
        assert re.fullmatch(rf"\$\{{{name}:\?is empty; .+\}}", given[name])


def test_every_image_has_its_version() -> None:
    assert {SERVICES[name]["image"] for name in OURS} == {f"loopwire:{__version__}"}
    assert {SERVICES[name]["image"] for name in BROKERS} == {OFFICIAL}
    [base] = re.findall(r"^ARG BASE=(.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"[a-z]+:\d.*", base)


def test_each_stage_is_asked_whether_it_is_ready_and_ends_in_its_own_time() -> None:
    ports = {"capture": 8080, "enrich": 8090, "deliver": 8091, "console": 8081}
    for name, port in ports.items():
        assert f"http://127.0.0.1:{port}/ready" in " ".join(SERVICES[name]["healthcheck"]["test"])
        assert (SERVICES[name]["restart"], SERVICES[name]["stop_grace_period"][-1]) == ("unless-stopped", "s")


def test_the_brokers_differ_in_their_name_alone_and_have_the_timeouts_that_the_readme_tells() -> None:
    for number, name in enumerate(BROKERS, 1):
        told = dict(SERVICES[name]["environment"])
        assert told.pop("KAFKA_NODE_ID") == str(number)
        assert told.pop("KAFKA_ADVERTISED_LISTENERS") == f"PLAINTEXT://{name}:9092"
        assert f"{number}@{name}:9093" in told["KAFKA_CONTROLLER_QUORUM_VOTERS"]
        assert told.items() <= SERVICES[BROKERS[0]]["environment"].items()
        assert (told["KAFKA_DEFAULT_REPLICATION_FACTOR"], told["KAFKA_MIN_INSYNC_REPLICAS"]) == ("3", "2")
        assert {name for name in variables(QUICK) if "CONSUMER" in name or "_BROKER_" in name} <= set(told)


def test_what_must_survive_is_on_volumes() -> None:
    named = yaml.safe_load(TEXT)["volumes"]
    mounted = {volume.partition(":")[0]: name for name in SERVICES for volume in SERVICES[name].get("volumes", ())}
    assert mounted == {name: name for name in (*BROKERS, "capture", "enrich", "console")}
    assert set(named) == set(mounted)
