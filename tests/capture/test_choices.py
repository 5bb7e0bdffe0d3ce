"""What accounts chose changes answers and hits: their domains, their readers' privacy."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pipeline.capture.answer import PIXEL, Answer, Request, Response, Rules, answer
from pipeline.capture.choices import NOTHING, UNKNOWN, Chosen, Row, chosen, host_of
from pipeline.capture.tokens import Kind, Link, sign, signing_key
from pipeline.model.accounts import Choices
from pipeline.model.hits import AnyHit
from tests.examples import FOLDER

KEYS = {"k1": b"k" * 32}
NOW = datetime(2026, 3, 1, 12, 30, 45, 123456, UTC)
OWN = "https://t.example.com"
URL = "https://shop.example/"
DOORS: dict[Kind, str] = {"open": "o", "click": "c", "unsubscribe": "u"}


def row(account: str, *domains: str, age: int = 0, privacy: Choices | None = None) -> Row:
    return Row(account=account, created=NOW - timedelta(days=age), domains=list(domains), privacy=privacy)


def asked(kind: Kind, account: str = "acme", mailing: str = "m", rules: Chosen = NOTHING, **more: object) -> Answer:
    link = Link(account, "p", mailing, None, URL if kind == "click" else None)
    path = f"/{DOORS[kind]}/{sign(link, kind, *signing_key(KEYS, account))}"
    method = "POST" if kind == "unsubscribe" else "GET"
    request = Request(method, path, "203.0.113.9", NOW, "Thunderbird", "https://mail.example/")._replace(**more)  # type: ignore[arg-type]
    return answer(request, Rules(KEYS, chosen=rules), bytes(10))


def hit(found: Answer) -> AnyHit:
    assert found.hit is not None
    return found.hit


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize(("gpc", "dnt"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_a_reader_asks_is_written_down_and_obeyed_where_the_account_chose_so(
    kind: Kind, gpc: bool, dnt: bool
) -> None:
    rules = chosen([row("acme", privacy=Choices(obey_signals=True)), row("other", privacy=Choices())], OWN)
    obeyed, heard = (hit(asked(kind, account, rules=rules, gpc=gpc, dnt=dnt)) for account in ("acme", "other"))
    for one in (obeyed, heard):
        assert (one.gpc, one.dnt) == (gpc or None, dnt or None)
        assert one.referer == "https://mail.example/"
    assert (heard.ip, heard.useragent) == ("203.0.113.9", "Thunderbird")
    assert (obeyed.ip, obeyed.useragent) == ((None, None) if gpc or dnt else ("203.0.113.9", "Thunderbird"))


def test_a_hit_says_nothing_where_nothing_was_asked() -> None:
    assert b"gpc" not in msgspec.json.encode(hit(asked("open")))
    assert b"dnt" not in msgspec.json.encode(hit(asked("open")))


def test_as_long_as_choices_are_unknown_what_readers_ask_is_obeyed() -> None:
    kept = hit(asked("open", rules=UNKNOWN, gpc=True))
    assert (kept.ip, kept.useragent) == (None, None)
    assert hit(asked("open", rules=UNKNOWN)).ip == "203.0.113.9"


def test_of_an_unregistered_mailing_nothing_is_a_hit_but_an_unsubscribe() -> None:
    rules = chosen([row("acme", privacy=Choices(unregistered=["m"]))], OWN)
    assert asked("open", rules=rules) == Answer("open", PIXEL)
    click = asked("click", rules=rules)
    assert (click.hit, click.bad, click.response) == (None, False, asked("click").response)
    assert hit(asked("unsubscribe", rules=rules)).mailing == "m"
    assert asked("open", mailing="n", rules=rules).hit is not None
    assert asked("open", account="other", rules=rules).hit is not None


MINE = chosen([row("acme", "https://t.acme.example"), row("other", "http://links.other.example:8080")], OWN)
BAD = {"open": 200, "click": 404, "unsubscribe": 404}


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize(
    ("host", "account", "is_good"),
    [
        ("t.acme.example", "acme", True),
        ("T.ACME.EXAMPLE.:443", "acme", True),
        ("t.acme.example:8443", "acme", True),
        ("t.acme.example", "other", False),
        ("t.acme.example:80", "other", False),
        ("T.Acme.Example.", "third", False),
        ("links.other.example", "other", True),
        ("links.other.example:8080", "acme", False),
        ("t.example.com", "acme", True),
        ("t.example.com", "other", True),
        ("unknown.example", "third", True),
        ("", "acme", True),
        ("x.t.acme.example", "other", True),
    ],
)
def test_on_an_account_s_domain_its_own_tokens_alone_are_good(
    kind: Kind, host: str, account: str, is_good: bool
) -> None:
    found = asked(kind, account, rules=MINE, host=host)
    assert (found.hit is not None, found.bad) == (is_good, not is_good)
    if not is_good:
        assert (found.response.status, dict(found.response.headers).get("Location")) == (BAD[kind], None)


def test_a_foreign_way_out_shows_no_page() -> None:
    token = sign(Link("other", "p", "m"), "unsubscribe", *signing_key(KEYS, "other"))
    request = Request("GET", f"/u/{token}", "::1", NOW, host="t.acme.example")
    assert answer(request, Rules(KEYS, chosen=MINE), bytes(10)).response.status == 404


def test_nobody_owns_the_installation_s_own_host_and_the_older_claim_holds() -> None:
    rules = chosen([row("rival", OWN, "https://t.acme.example"), row("acme", "https://t.acme.example", age=9)], OWN)
    assert rules.owners == {"t.acme.example": "acme"}


@pytest.mark.parametrize(
    ("text", "host"),
    [("A.Example", "a.example"), ("a.example.:80", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")],
)
def test_a_host_is_read_in_its_many_spellings(text: str, host: str) -> None:
    assert host_of(text) == host


def test_the_record_of_an_account_is_read() -> None:
    read = msgspec.json.decode((FOLDER / "account.v1" / "with-choices.json").read_bytes(), type=Row)
    assert chosen([read], OWN) == Chosen(
        {"t.shop.example": "shop", "links.shop.example": "shop"},
        frozenset({"shop"}),
        frozenset({("shop", "spring-sale")}),
    )
    assert not msgspec.json.decode((FOLDER / "account.v1" / "shop.json").read_bytes(), type=Row).matters


def test_choosing_nothing_changes_nothing() -> None:
    assert chosen([row("acme")], OWN) == NOTHING
    assert isinstance(asked("click", rules=NOTHING).response, Response)
