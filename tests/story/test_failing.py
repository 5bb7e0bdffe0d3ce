"""A loop that only fails misses what happens, as a stretch; a POST now and then shows when it is well again."""

import time
from datetime import UTC, datetime, timedelta

import msgspec
import requests

from pipeline import topics
from pipeline.model.loops import Failing, failing_key
from tests.customer import Customer
from tests.story.conftest import Sender
from tests.story.lines import OverKafka

OPENS = 12


def test_a_loop_that_failed_for_long_gets_one_event_and_once_that_was_taken_all_it_missed(
    line: OverKafka, sender: Sender, customer: Customer
) -> None:
    sender.knows()
    loop = sender.loop(customer, events=["open"])
    row = Failing(loop=loop["id"], epoch=1, since=datetime.now(UTC) - timedelta(minutes=6))
    producer = line.kafka.producer()
    producer.produce(line.kafka.full(topics.LOOP_STATES), msgspec.json.encode(row), failing_key(loop["id"]))
    producer.flush()
    customer.seconds = 10  # so long it is still failing, as far as anybody knows
    mails = [sender.mail(message=f"m-{number}")["open"] for number in range(OPENS)]
    for mail in mails:
        assert requests.get(mail, timeout=20).status_code == 200
    customer.wait(lambda calls: len(calls) == 1)
    time.sleep(1.5)  # that nothing comes can only be waited for
    assert len(customer.calls) == 1, "one shows whether it works"
    customer.hurry()
    calls = customer.wait(lambda calls: len({call.form["id"] for call in calls}) == OPENS)
    assert len({call.headers["webhook-id"] for call in calls}) == OPENS
    requests.get(sender.mail(message="after")["open"], timeout=20)
    customer.wait(lambda calls: calls[-1].form["id"] == "after")
