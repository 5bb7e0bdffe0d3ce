"""The demo: a customer makes a loop, a mail is opened and clicked, and the customer's server is told who it was."""

import os
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import requests

from pipeline.local.customer import HOOK, Call, Customer
from pipeline.settings import Settings

NAME = "demo"  # of the account, and of its loop
PROFILE = "jane"
MAILING = "spring-sale"
MESSAGE = "msg-1001"
SHOP = "https://shop.example/spring?ref=mail"


class DemoError(Exception):
    """A step of the demo was refused; the message says which and why."""


class Demo(Thread):
    """Plays the customer and the reader; `delivered` once an open and a click arrived with good signatures."""

    def __init__(self, settings: Settings, admin_key: str) -> None:
        super().__init__(name="demo", daemon=True)
        self.failed: str | None = None
        self._settings = settings
        self._admin_key = admin_key
        self._heard: set[str] = set()
        self._folder = settings.data / "demo-site"
        self._customer = Customer(self._hear, self._folder, _port(settings.data / "demo_port"))

    @property
    def delivered(self) -> bool:
        """Whether the first open and the first click were delivered and verified."""
        return {"open", "click"} <= self._heard

    def run(self) -> None:
        """The thread's work."""
        try:
            self._play()
        except Exception as wrong:  # noqa: BLE001 # whatever it was, who watches the demo is told, and `up` ends
            self.failed = f"demo: {wrong or type(wrong).__name__}"

    def _play(self) -> None:
        key = self._account()
        console = Api(self._settings.console_url, key)
        for old in console.call("GET", "/v1/loops"):
            if old["name"] == NAME and old["url"].endswith(HOOK):  # an earlier demo's: its customer knew another secret
                console.call("DELETE", f"/v1/loops/{old['id']}")
        profile = {"email": "jane@example.com", "fields": {"city": "Utrecht"}, "interests": ["gardening"]}
        console.call("PUT", f"/v1/profiles/{PROFILE}", profile)
        console.call("PUT", f"/v1/mailings/{MAILING}", {"name": "Spring sale", "tags": ["sale", "spring"]})
        self._loop(console)
        mail = {"profile": PROFILE, "mailing": MAILING, "message": MESSAGE, "links": [SHOP]}
        links = console.call("POST", "/v1/track", mail)
        _tell(f"console  {self._settings.console_url}  account demo, API key {key}")
        _tell(f"pixel    {links['open']}")
        _tell(f"link     {links['clicks'][SHOP]}  -> {SHOP}")
        _tell(f"site     {self._customer.origin}/  takes POSTs at any address; what is in {self._folder} stands on it")
        self._read_mail(links["open"], links["clicks"][SHOP])

    def _account(self) -> str:
        """The demo account's key: made at the first start, kept beside the data, since it is shown once."""
        kept = self._settings.data / "demo_key"
        if kept.exists():
            return kept.read_text().strip()
        made = Api(self._settings.console_url, self._admin_key).call("POST", "/v1/accounts", {"name": NAME})
        _write_private(kept, made["api_key"])
        return str(made["api_key"])

    def _loop(self, console: "Api") -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _write_private(self._settings.data / "demo_port", str(self._customer.port))
        wish = {"name": NAME, "url": self._customer.url, "events": ["open", "click"], "format": "form"}
        loop = console.call("POST", "/v1/loops", wish)
        self._customer.secret = loop["secret"]
        proof = loop["verification"]
        self._customer.files[proof["file"]] = proof["content"]
        console.call("POST", f"/v1/loops/{loop['id']}/verify")
        _tell(f"loop     {loop['id']} to {loop['url']}, verified by {proof['file']}")

    def _read_mail(self, pixel: str, link: str) -> None:
        reader = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
        requests.get(pixel, headers=reader, timeout=15).raise_for_status()
        requests.get(link, headers=reader, timeout=15, allow_redirects=False).raise_for_status()
        _tell("the mail was opened and its link clicked")

    def _hear(self, call: Call) -> None:
        words = {True: "signature good", False: "SIGNATURE BAD", None: f"to {call.path}"}
        kind = call.first("type") or "JSON"
        who = call.first("recipient")
        _tell(f"POST     {kind}{f' by {who}' if who else ''} ({words[call.verified]}, {call.webhook_id})")
        for name, value in call.told:
            _tell(f"           {name} = {value}" if name else f"           {value}")
        if call.verified:
            self._heard.add(kind)


class Api:
    """The console's API, one call at a time."""

    def __init__(self, base: str, key: str) -> None:
        self._base = base
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """The answer's JSON, None where there is none; DemoError where it is refused."""
        answer = self._session.request(method, self._base + path, json=body, timeout=30)
        if not answer.ok:
            raise DemoError(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else None


def _port(kept: Path) -> int:
    """The port of the demo before, so that loops made to it by hand go on; 0 where there was none."""
    try:
        return int(kept.read_text())
    except (OSError, ValueError):
        return 0


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
