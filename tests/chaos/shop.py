"""The shop: the customer's server, which keeps what it accepted, and the account whose mails are opened."""

import time

from pipeline.settings import Settings
from tests.chaos.faults import Server
from tests.chaos.tally import Told, number_of
from tests.customer import Call, Customer
from tests.faults.readers import PROFILES
from tests.story.conftest import Sender


class Shop:
    """Its loop is verified, and its profiles are known."""

    def __init__(self, told: Settings) -> None:
        self.accepted: list[Told] = []
        self.messages: set[str] = set()  # all that it was told of
        self.newest = 0  # the highest number of these
        self.heard_at = time.monotonic()  # when it accepted the last
        self._customer = Customer(answer=self._answer)
        self._status = 200
        self.server = Server(self._answers, self._takes)
        self._sender = Sender(_Line(told))
        self.account = self._sender.account
        for number in range(PROFILES):
            self._sender.knows(f"p-{number}")
        self._secret: str = self._sender.loop(self._customer, events=["open"])["secret"]

    def close(self) -> None:
        """No more POSTs."""
        self._customer.close()

    def _answer(self, call: Call) -> int:
        status = self._status
        if status == 200:
            form = call.form
            signed = call.verified(self._secret)  # now: a signature is good for five minutes
            self.accepted.append(Told(form["id"], form["event"], call.headers["webhook-id"], signed))
            self.messages.add(form["id"])
            self.newest = max(self.newest, number_of(form["id"]))
            self.heard_at = time.monotonic()
        return status

    def _answers(self, status: int) -> None:
        self._status = status

    def _takes(self, seconds: float) -> None:
        self._customer.seconds = seconds


class _Line:
    """Where the sender reaches the console."""

    def __init__(self, told: Settings) -> None:
        self.settings = told
        self.admin_key = told.admin_key

    def close(self) -> None:
        """Others do."""
