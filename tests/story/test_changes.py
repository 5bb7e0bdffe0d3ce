"""A profile's own events: what changes is told, by whom, once; the same story on both Kafkas."""

from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.kafka.admin import Admin
from tests.customer import Call, Customer
from tests.story.conftest import Sender, line_settings
from tests.story.lines import Processes, wait_ready
from tests.story.test_story import told

CHANGES = ["create", "update", "delete"]


def put(sender: Sender, profile: str, *, origin: str = "", **fields: Any) -> None:
    """A profile as it is from now on, changed by `origin`."""
    answer = requests.put(
        f"{sender.settings.console_url}/v1/profiles/{profile}",
        json={"email": f"{profile}@example.com", "fields": fields},
        headers={"Authorization": f"Bearer {sender.key}"} | ({"loopwire-origin": origin} if origin else {}),
        timeout=30,
    )
    assert answer.status_code == 204, answer.text


def about(call: Call) -> tuple[str, str, Any, Any]:
    form = call.form
    return form["type"], form["profile"], form.get("parameters[city]"), form.get("previous[city]")


def test_what_changes_is_told_with_what_it_was(sender: Sender, customer: Customer) -> None:
    loop = sender.loop(customer, events=CHANGES)
    put(sender, "jane", city="Utrecht")
    put(sender, "jane", city="Delft")
    put(sender, "jane", city="Delft")
    sender.call("DELETE", "/v1/profiles/jane", expect=204)
    calls = sorted(customer.wait(told(3)), key=lambda call: CHANGES.index(call.form["type"]))
    assert [about(call) for call in calls] == [
        ("create", "jane", "Utrecht", None), ("update", "jane", "Delft", "Utrecht"), ("delete", "jane", None, "Delft"),
    ]  # fmt: skip
    assert {call.form["recipient"] for call in calls} == {"jane@example.com"}
    assert calls[0].form["parameters[email]"] == "jane@example.com"
    assert all(call.verified(loop["secret"]) for call in calls)


def test_a_loop_can_leave_out_what_its_own_system_changed(sender: Sender, customer: Customer) -> None:
    witness = Customer()
    sender.loop(customer, events=CHANGES, filter={"exclude_origins": ["crm"]})
    sender.loop(witness, events=CHANGES)
    put(sender, "jane", origin="crm", city="Utrecht")
    put(sender, "jane", origin="shop", city="Delft")
    assert sorted(call.form["origin"] for call in witness.wait(told(2))) == ["crm", "shop"]
    [call] = customer.wait(told(1))
    assert (call.form["origin"], call.form["previous[city]"]) == ("shop", "Utrecht")
    witness.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["memory", "disk"])
def test_what_was_there_at_the_first_start_counts_as_told_and_what_changed_while_it_was_away_does_not(
    kafka_address: str, tmp_path: Path, store: str
) -> None:
    settings = line_settings(tmp_path, kafka_address, table_store=store)
    admin = Admin(settings)
    admin.apply(admin.plan())
    line, customer = Processes(settings, ("console", "deliver")), Customer()
    sender = Sender(line)
    sender.loop(customer, events=CHANGES)
    put(sender, "jane", city="Utrecht")
    line.start("enrich")
    wait_ready(settings, ["enrich"])
    put(sender, "joe", city="Gent")
    customer.wait(told(1))
    line.kill("enrich")
    put(sender, "jane", city="Delft")
    sender.call("DELETE", "/v1/profiles/joe", expect=204)
    line.start("enrich")
    calls = customer.wait(lambda calls: {"update", "delete"} <= {call.form["type"] for call in calls})
    assert {about(call) for call in calls} == {
        ("create", "joe", "Gent", None), ("update", "jane", "Delft", "Utrecht"), ("delete", "joe", None, "Gent"),
    }  # fmt: skip
    line.close()
    customer.close()
