"""A file that is taken away disables its loop after three looks, warned of twice: on real processes and servers."""

import time
from pathlib import Path

import pytest

from pipeline.kafka.admin import Admin
from tests.customer import Customer
from tests.story.conftest import Sender, line_settings
from tests.story.lines import Processes


@pytest.mark.timeout(120)
def test_who_takes_the_file_away_is_warned_and_then_gets_nothing(kafka_address: str, tmp_path: Path) -> None:
    settings = line_settings(tmp_path, kafka_address, recheck="1s")
    admin = Admin(settings)
    admin.apply(admin.plan())
    line = Processes(settings, ("console", "deliver"))
    customer, watcher = Customer(), Customer()
    sender = Sender(line)
    loop = sender.loop(customer, events=["open"])
    sender.loop(watcher, events=["loop.ownership", "loop.disabled", "loop.recovered"])
    proof = customer.files.copy()
    customer.files.clear()
    calls = watcher.wait(lambda calls: calls[-1:] != [] and calls[-1].form["type"] == "loop.disabled")
    assert [call.form["type"] for call in calls] == ["loop.ownership", "loop.ownership", "loop.disabled"]
    assert [call.form.get("misses") for call in calls] == ["1", "2", None]
    assert calls[-1].form["reason"] == "ownership"
    assert "404" in calls[-1].form["error"]
    deadline = time.monotonic() + 20
    while (shown := sender.call("GET", f"/v1/loops/{loop['id']}").json())["state"] != "disabled":
        assert time.monotonic() < deadline, shown
    assert shown["reason"] == "ownership"
    customer.files.update(proof)
    assert sender.call("POST", f"/v1/loops/{loop['id']}/verify").json()["state"] == "active"
    watcher.wait(lambda calls: calls[-1].form["type"] == "loop.recovered")
    line.close()
    for one in (customer, watcher):
        one.close()
