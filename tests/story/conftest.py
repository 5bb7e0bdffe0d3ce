"""The line of a story, once on the broker and once in memory; and an account of its own for each test."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline import settings
from pipeline.kafka.admin import Admin
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.customer import Customer
from tests.story.lines import Line, Processes, Threads


def line_settings(data: Path, kafka: str = "", **more: Any) -> Settings:
    """Settings for a line on this machine, with free ports, a short ladder and loopback allowed."""
    metrics = free_port(2)
    keys = {name: f"{prefix}{'QUFB' * 10}QUE=" for name, prefix in (("master_key", ""), ("token_keys", "k1:"))}
    return settings.read(
        kafka=kafka,
        data=data,
        capture_port=free_port(),
        capture_workers=1,
        console_port=free_port(),
        metrics_port=metrics,
        admin_key="adm_test",
        retry_ladder="1s,2s",
        allow_networks="127.0.0.0/8",
        topic_partitions=4,
        topic_prefix=f"s{secrets.token_hex(4)}-" if kafka else "",
        **keys,
        **more,
    )


@contextmanager
def line_on(kafka: str, data: Path) -> Iterator[Processes]:
    """Each stage a process of its own, on that Kafka."""
    told = line_settings(data, kafka)
    admin = Admin(told)
    admin.apply(admin.plan())
    made = Processes(told)
    yield made
    made.close()


@pytest.fixture(scope="package")
def memory_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    made = Threads(line_settings(tmp_path_factory.mktemp("line")))
    yield made
    made.close()


@pytest.fixture(scope="package")
def broker_line(kafka_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with line_on(kafka_address, tmp_path_factory.mktemp("line")) as made:
        yield made


@pytest.fixture(params=["memory", "broker"])
def line(request: pytest.FixtureRequest) -> Line:
    """One of the two that all stories share: each story has an account of its own there."""
    made: Line = request.getfixturevalue(f"{request.param}_line")
    return made


class Sender:
    """One account as its owner uses it: the API, the mail, and the reader who opens it."""

    def __init__(self, line: Line) -> None:
        self.settings = line.settings
        name = f"shop-{secrets.token_hex(4)}"
        self.account = name
        self.key = line.admin_key
        self.key = self.call("POST", "/v1/accounts", {"name": name}).json()["api_key"]

    def call(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> requests.Response:
        """One API call; AssertionError where it is refused, or not answered as expected."""
        answer = requests.request(
            method,
            self.settings.console_url + path,
            json=body,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=30,
        )
        assert answer.status_code == expect if expect else answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer

    def knows(self, profile: str = "jane", mailing: str = "spring") -> None:
        """A profile and a mailing."""
        about = {"email": f"{profile}@example.com", "fields": {"city": "Utrecht"}, "interests": ["tea"]}
        self.call("PUT", f"/v1/profiles/{profile}", about, expect=204)
        self.call("PUT", f"/v1/mailings/{mailing}", {"name": "Spring", "tags": ["sale", "spring"]}, expect=204)

    def loop(self, customer: Customer, *, verify: bool = True, **more: Any) -> dict[str, Any]:
        """A loop to the customer's /in.php, verified unless told otherwise."""
        wish = {"name": "in", "url": customer.origin + "/hooks/in.php", "events": ["open", "click"], **more}
        loop: dict[str, Any] = self.call("POST", "/v1/loops", wish, expect=201).json()
        proof = loop["verification"]
        customer.files[f"/hooks/{proof['file']}"] = proof["content"]
        if verify:
            assert self.call("POST", f"/v1/loops/{loop['id']}/verify", expect=200).json()["state"] == "active"
        return loop

    def mail(
        self, link: str = "https://shop.example/a?b=c", profile: str = "jane", message: str = "m-1"
    ) -> dict[str, Any]:
        """A mail's tracking addresses."""
        wish = {"profile": profile, "mailing": "spring", "message": message, "links": [link]}
        found: dict[str, Any] = self.call("POST", "/v1/track", wish, expect=200).json()
        return {"open": found["open"], "click": found["clicks"][link]}


@pytest.fixture
def sender(line: Line) -> Sender:
    return Sender(line)


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    yield made
    made.close()
