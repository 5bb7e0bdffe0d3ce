"""A person with a browser, as the server sees one: cookies kept, forms sent with their token and an Origin."""

import re
from typing import Any

import requests

from tests.console.running import ADMIN, Console

PASSWORD = "correct horse battery"


class Visitor:
    """Redirects are not followed, so that a test sees each answer."""

    def __init__(self, console: Console) -> None:
        self.url = console.url
        self.session = requests.Session()

    def get(self, path: str, **more: Any) -> requests.Response:
        headers = {"accept": "text/html"} | more.pop("headers", {})
        return self.session.get(self.url + path, headers=headers, allow_redirects=False, timeout=20, **more)

    def post(self, path: str, form: Any = (), **more: Any) -> requests.Response:
        """Sends the form with this session's token, unless it brings one."""
        fields = list(form.items()) if isinstance(form, dict) else list(form)
        if "token" not in dict(fields):
            fields.append(("token", self.token()))
        headers = {"accept": "text/html", "origin": self.url} | more.pop("headers", {})
        return self.session.post(self.url + path, fields, headers=headers, allow_redirects=False, timeout=20, **more)

    def token(self) -> str:
        """What the forms of the page that is shown now carry."""
        page = self.get("/login")
        if page.status_code == 303:
            page = self.get("/loops")
        found = re.search(r'name="token" value="([^"]+)"', page.text)
        assert found, page.text
        return found[1]

    def by_key(self, key: str, **more: str) -> requests.Response:
        return self.post("/login", {"key": key} | more)

    def as_user(self, account: str, user: str, password: str = PASSWORD) -> requests.Response:
        return self.post("/login", {"account": account, "user": user, "password": password})

    @property
    def is_in(self) -> bool:
        return self.get("/loops").status_code == 200


def user(console: Console, name: str, role: str, account: str = "acme") -> None:
    """A new user, with the password that all have here."""
    body = {"name": name, "role": role, "password": PASSWORD}
    answer = console.call("POST", f"/v1/accounts/{account}/users", ADMIN, json=body)
    assert answer.status_code == 201, answer.text


def editor(console: Console, key: str) -> Visitor:
    """Someone who is signed in by the account's key."""
    one = Visitor(console)
    assert one.by_key(key).status_code == 303
    return one


def viewer(console: Console) -> Visitor:
    """Someone who is signed in as acme's viewer, whom this makes."""
    user(console, "victor", "viewer")
    one = Visitor(console)
    assert one.as_user("acme", "victor").status_code == 303
    return one
