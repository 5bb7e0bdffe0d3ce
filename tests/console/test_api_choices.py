"""What an account chose, by the API: domains of its links, by the admin key; its readers' privacy, by its own."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.capture.choices import Row, chosen
from pipeline.capture.tokens import Link, read
from pipeline.kafka.memory import Memory
from tests.console.running import ADMIN, TOKEN_KEY, TOPICS, TRACKING, Console, rows, running


class Cast(NamedTuple):
    """A console, its Kafka, and the key of an account named acme."""

    console: Console
    memory: Memory
    key: str

    def put(self, account: str, *domains: object) -> tuple[int, Any]:
        answer = self.console.call("PUT", f"/v1/accounts/{account}/domains", ADMIN, json={"domains": [*domains]})
        return answer.status_code, answer.json()

    def kept(self) -> list[Row]:
        return [msgspec.json.decode(value or b"", type=Row) for _, value, _ in rows(self.memory, "accounts")]


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        yield Cast(console, memory, console.account("acme"))


def test_domains_are_kept_as_bases_and_new_links_lead_to_the_first(cast: Cast) -> None:
    bases = ["https://t.acme.example", "http://links.acme.example:8080", "https://xn--bcher-kva.example"]
    shown = {"account": "acme", "domains": bases}
    assert cast.put("acme", "T.Acme.Example/", "http://links.acme.example:8080", "bücher.example") == (200, shown)
    assert cast.console.call("GET", "/v1/accounts/acme/domains", ADMIN).json() == shown
    html = "<a href='https://a.example'>x</a><a href='http://links.acme.example:8080/u/1.k1.a.b'>x</a>"
    wish = {"profile": "p", "mailing": "m", "links": ["https://shop.example"], "html": html}
    links = cast.console.call("POST", "/v1/track", cast.key, json=wish).json()
    assert set(links["clicks"]) == {"https://shop.example", "https://a.example"}
    for link in (links["open"], links["unsubscribe"], *links["clicks"].values()):
        assert link.startswith("https://t.acme.example/")
    token = links["unsubscribe"].rpartition("/")[2]
    assert read(token, {"k1": TOKEN_KEY}, "unsubscribe") == Link("acme", "p", "m")
    assert cast.put("acme") == (200, {"account": "acme", "domains": []})
    links = cast.console.call("POST", "/v1/track", cast.key, json={"profile": "p", "mailing": "m"}).json()
    assert links["open"].startswith(f"{TRACKING}/o/")


def test_a_domain_is_one_account_s_and_never_the_installation_s(cast: Cast) -> None:
    rival = cast.console.account("rival")
    assert rival
    assert cast.put("acme", "t.acme.example")[0] == 200
    assert cast.put("acme", "t.acme.example")[0] == 200
    for taken in ("t.acme.example", "http://T.ACME.EXAMPLE.:8080"):
        status, problem = cast.put("rival", "t.rival.example", taken)
        assert (status, problem["errors"][0]["where"]) == (409, "body.domains.1")
        assert problem["errors"][0]["what"].endswith("is another account's")
    status, problem = cast.put("rival", TRACKING)
    assert (status, problem["detail"]) == (409, f"body.domains.0: {TRACKING} is where everybody's links lead")
    assert cast.put("none", "t.none.example")[0] == 404


@pytest.mark.parametrize(
    ("domain", "what"),
    [
        ("", "'' can't be a domain of links: the address has no host"),
        ("https://t.acme.example/x", "'https://t.acme.example/x' has more than a host and a port"),
        ("t.acme.example?x", "'t.acme.example?x' has more than a host and a port"),
        ("ftp://t.acme.example", ("'ftp://t.acme.example' can't be a domain of links: the address must begin with "
         "http:// or https://")),
        ("a@t.acme.example", ("'a@t.acme.example' can't be a domain of links: the address must not hold a user name or "
         "password")),
        ("t acme.example", "'t acme.example' can't be a domain of links: the address must not hold ' '"),
    ],
)  # fmt: skip
def test_what_is_no_domain_is_told(domain: str, what: str, cast: Cast) -> None:
    status, problem = cast.put("acme", domain)
    assert (status, problem["errors"]) == (422, [{"where": "body.domains.0", "what": what}])


def test_privacy_is_the_account_s_own_choice(cast: Cast) -> None:
    before = {"obey_signals": False, "unregistered": []}
    assert cast.console.call("GET", "/v1/privacy", cast.key).json() == before
    assert cast.put("acme", "t.acme.example")[0] == 200
    wish = {"obey_signals": True, "unregistered": ["m1", "m2"]}
    answer = cast.console.call("PUT", "/v1/privacy", cast.key, json=wish)
    assert (answer.status_code, answer.json()) == (200, wish)
    assert cast.console.call("GET", "/v1/privacy", cast.key).json() == wish
    found = chosen([cast.kept()[-1]], TRACKING)
    assert found.owners == {"t.acme.example": "acme"}
    assert (found.obeys("acme"), found.is_unregistered("acme", "m2")) == (True, True)
    assert cast.console.call("PUT", "/v1/privacy", cast.key, json={}).json() == before
    rival = cast.console.account("rival")
    assert cast.console.call("GET", "/v1/privacy", rival).json() == before


@pytest.mark.parametrize(
    ("wish", "where"),
    [
        ({"obey_signals": "yes"}, "body.obey_signals"),
        ({"unregistered": ["a b"]}, "body.unregistered.0"),
        ({"unregistered": ["a", "a"]}, "body.unregistered"),
        ({"ip": False}, "body.ip"),
    ],
)
def test_a_choice_that_is_none_is_told(wish: dict[str, Any], where: str, cast: Cast) -> None:
    answer = cast.console.call("PUT", "/v1/privacy", cast.key, json=wish)
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, where)
