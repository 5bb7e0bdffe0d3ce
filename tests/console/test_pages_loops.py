"""Loops by hand: listed, searched, made in three steps, tested, changed, paused, rotated, removed."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, NamedTuple

import pytest

from pipeline.console.loop_health import Health
from pipeline.console.stored_health import StoredHealth
from pipeline.kafka.memory import Memory
from tests.console.running import TOPICS, Console, Site, running, site
from tests.console.visitor import Visitor, editor

WISH = [("name", "shop"), ("events", "open"), ("events", "click"), ("format", "form"), ("machine", "yes")]


class Cast(NamedTuple):
    """A console, a customer's site, and someone who is signed in."""

    console: Console
    site: Site
    key: str
    visitor: Visitor

    def get(self, path: str) -> str:
        answer = self.visitor.get(path)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def made(self, *more: tuple[str, str]) -> str:
        """A new loop that points at the site; its id."""
        answer = self.visitor.post("/loops/new", [*WISH, ("url", f"{self.site.url}/hooks/in"), *more])
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].split("/")[2]

    def verified(self) -> str:
        """A new loop whose file stands where it should."""
        loop = self.made()
        self.site.script |= {f"/{self.api(loop)['verification']['file']}": (200, {}, self.content(loop))}
        assert self.visitor.post(f"/loops/{loop}/verify").headers["location"] == f"/loops/{loop}/test"
        return loop

    def content(self, loop: str) -> bytes:
        return str(self.api(loop)["verification"]["content"]).encode()

    def api(self, loop: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.console.call("GET", f"/v1/loops/{loop}", self.key).json()
        return shown


@pytest.fixture
def cast() -> Iterator[Cast]:
    with site() as customer, running(Memory(TOPICS)) as console:
        key = console.account("acme")
        yield Cast(console, customer, key, editor(console, key))


def test_where_there_is_no_loop_the_page_leads_to_a_new_one(cast: Cast) -> None:
    page = cast.get("/loops")
    assert "No loops yet" in page
    assert 'href="/loops/new"' in page


def test_loops_are_listed_and_searched_and_what_is_typed_is_escaped(cast: Cast) -> None:
    cast.console.loop(cast.key, name="<b>Shop</b> & co")
    cast.console.loop(cast.key, name="CRM-1", url="https://crm.example/in", events=["bounce"])
    page = cast.visitor.get("/loops").text
    assert "&lt;b&gt;Shop&lt;/b&gt; &amp; co" in page
    assert "<b>Shop" not in page
    for asked, found in (
        ("crm-1", ["CRM-1"]),  # no id, which is searched too, has a dash or a 1 by chance
        ("BOUNCE", ["CRM-1"]),
        ("unverified shop", ["<b>Shop</b> & co"]),
        ("no-such shop", []),
    ):
        page = cast.get(f"/loops?q={asked}")
        assert re.findall(r'<a href="/loops/lp_\w+">(.*?)</a>', page) == found
        assert ('id="none-found">' in page) == (not found)


def test_a_loop_is_made_and_its_secret_shown_once(cast: Cast) -> None:
    loop = cast.made(("headers", "X-Key: abc"), ("tags", "sale, spring"), ("rate", "2.5"), ("max_in_flight", "4"))
    first, second = cast.get(f"/loops/{loop}/verify"), cast.get(f"/loops/{loop}/verify")
    assert re.search(r"whsec_[A-Za-z0-9+/]{43}=", first)
    assert "shop was created" in first
    assert not re.search(r"whsec_[A-Za-z0-9+/]{43}=|was created", second)
    shown = cast.api(loop)
    assert shown["filter"] == {"mailings": [], "tags": ["sale", "spring"], "machine": True, "exclude_origins": []}
    assert (shown["events"], shown["headers"], shown["rate"], shown["max_in_flight"]) == (
        ["open", "click"], ["X-Key"], 2.5, 4,
    )  # fmt: skip
    assert shown["batch"] is None
    for url in shown["verification"]["urls"]:
        assert url in first


def test_batches_are_asked_for_in_the_form_and_shown(cast: Cast) -> None:
    loop = cast.made(("format", "json"), ("batch_events", "50"), ("batch_ms", "250"))
    assert cast.api(loop)["batch"] == {"events": 50, "bytes": 262_144, "ms": 250}
    assert "50 events, 262,144 bytes or 250 ms" in cast.get(f"/loops/{loop}")
    page = cast.get(f"/loops/{loop}/settings")
    assert 'name="batch_events" inputmode="numeric" value="50"' in page


def test_words_that_have_commas_keep_them(cast: Cast) -> None:
    wanted = {"tags": ["Summer, 2026", "sale"], "exclude_origins": ["crm, old", "shop"]}
    loop = cast.console.loop(cast.key, filter=wanted, fields=["city, state"])["id"]
    form = [("name", "shop"), ("url", cast.api(loop)["url"]), ("events", "open"), ("which_fields", "some")]
    form += [("exclude_origins", "crm, old, shop"), ("fields", "city, state")]
    for typed, tags in (("Summer, 2026\r\nsale", wanted["tags"]), ("Summer, 2026\r\na, b", ["Summer, 2026", "a", "b"])):
        assert cast.visitor.post(f"/loops/{loop}/settings", [*form, ("tags", typed)]).status_code == 303
        shown = cast.api(loop)
        assert (shown["filter"]["tags"], shown["filter"]["exclude_origins"], shown["fields"]) == (
            tags, wanted["exclude_origins"], ["city, state"],
        )  # fmt: skip


def test_order_is_asked_for_in_the_form_shown_and_kept(cast: Cast) -> None:
    loop = cast.made(("format", "json"), ("ordered", "yes"))
    assert cast.api(loop)["ordered"] is True
    assert "Kept for each profile" in cast.get(f"/loops/{loop}")
    assert re.search(r'name="ordered" value="yes" checked', cast.get(f"/loops/{loop}/settings"))
    wish = {"name": "shop", "url": "https://shop.example/hooks/in.php", "events": "open", "format": "json"}
    answer = cast.visitor.post(f"/loops/{loop}/settings", wish | {"ordered": "yes", "batch_events": "9"})
    assert answer.status_code == 422
    assert "Does not go with ordered" in answer.text
    assert 'value="9"' in answer.text
    assert cast.visitor.post(f"/loops/{loop}/settings", wish).status_code == 303
    assert cast.api(loop)["ordered"] is False


def test_a_secret_is_shown_on_its_own_loop_s_page_alone(cast: Cast) -> None:
    other = cast.console.loop(cast.key)["id"]
    cast.made()
    assert "whsec_C" not in re.sub("whsec_[^A-Z]", "", cast.get(f"/loops/{other}/verify"))
    assert not re.search(r"whsec_[A-Za-z0-9+/]{43}=", cast.get("/loops"))


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        ({"batch_events": "1001"}, "batch_events", "Must be less than or equal to 1000."),
        ({"batch_bytes": "many"}, "batch_bytes", "Must be a valid integer."),
        ({"batch_ms": "50", "format": "form"}, "batch", "Goes with format json alone: a form holds one event."),
    ],
)
def test_what_is_wrong_with_batches_stands_at_its_field(
    cast: Cast, change: dict[str, str], where: str, told: str
) -> None:
    form = {"name": "my shop", "url": "https://shop.example/in", "events": "open", "format": "json"} | change
    answer = cast.visitor.post("/loops/new", form)
    assert (answer.status_code, re.findall(r'<p class="wrong" id="(.*?)-wrong">(.*?)</p>', unescape(answer.text))) == (
        422, [(where, told)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "x" * 201}, "Must have at most 200 characters."),
        ({"url": ""}, "Write where the POSTs go."),
        ({"url": "ftp://shop.example/"}, "Must begin with https:// or http://."),
        ({"url": "https://me:secret@shop.example/"}, "Has credentials in it: use headers for them."),
        ({"events": ""}, "Must "),
        ({"rate": "fast"}, "Must be a valid number."),
        ({"max_in_flight": "0"}, "Must be greater than or equal to 1."),
        ({"headers": "Host: a"}, "'Host' is a header that we set."),
        ({"headers": "nonsense"}, "'nonsense' has a value that no header may have"),
        ({"mailings": "a b"}, "Must match"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(
    cast: Cast, change: dict[str, str], told: str
) -> None:
    form = {"name": "my shop", "url": "https://shop.example/in", "events": "open", "machine": "yes"} | change
    answer = cast.visitor.post("/loops/new", form)
    (name,) = change
    assert answer.status_code == 422
    (found,) = re.findall(rf'<p class="wrong" id="{name}-wrong">(.*?)</p>', unescape(answer.text))
    assert told in found
    assert name == "name" or 'value="my shop"' in answer.text
    assert cast.console.call("GET", "/v1/loops", cast.key).json() == []


def test_a_loop_without_a_name_is_called_like_its_host(cast: Cast) -> None:
    form = {"name": " ", "url": "https://shop.example:8443/in", "events": "open", "machine": "yes"}
    assert cast.visitor.post("/loops/new", form).status_code == 303
    [made] = cast.console.call("GET", "/v1/loops", cast.key).json()
    assert made["name"] == "shop.example:8443"
    nothing = cast.visitor.post("/loops/new", form | {"url": ""}).text
    assert ("url-wrong" in nothing, "name-wrong" in nothing) == (True, False)
    assert "Give the loop a name" in cast.visitor.post(f"/loops/{made['id']}/settings", form).text


def test_the_preview_is_what_would_be_sent(cast: Cast) -> None:
    form = [
        *WISH,
        ("url", "https://shop.example/in?a=1"),
        ("show", "click"),
        ("which_fields", "some"),
        ("fields", "no"),
    ]
    for answer in (
        cast.visitor.post("/loops/preview", form),
        cast.visitor.post("/loops/new", [*form, ("do", "preview")]),
    ):
        text = unescape(answer.text)
        assert answer.status_code == 200
        assert "POST /in?a=1" in text
        assert "Host: shop.example" in text
        assert "type=click\n" in text
        assert "&original=https://shop.example/spring" in text
        assert '"type": "click"' in text
        assert '"tags": [' in text
        assert "Utrecht" not in text
    assert cast.console.call("GET", "/v1/loops", cast.key).json() == []


@pytest.mark.parametrize(
    "form", [{}, {"url": "rubbish", "events": "nonsense", "rate": "x", "headers": "Host: a", "show": "nothing"}]
)
def test_the_preview_bears_with_what_is_half_typed(cast: Cast, form: dict[str, str]) -> None:
    answer = cast.visitor.post("/loops/preview", form)
    assert answer.status_code == 200
    assert "type=open" in unescape(answer.text)


def test_a_header_s_value_is_in_no_page(cast: Cast) -> None:
    form = [*WISH, ("url", "https://shop.example/in"), ("headers", "Authorization: Basic c2VjcmV0")]
    assert "Authorization: ••••••" in unescape(cast.visitor.post("/loops/preview", form).text)
    loop = cast.made(("headers", "Authorization: Basic c2VjcmV0"))
    for path in ("", "/settings", "/verify", "/test"):
        assert "c2VjcmV0" not in cast.get(f"/loops/{loop}{path}")


def test_the_file_is_downloaded_as_it_must_stand(cast: Cast) -> None:
    loop = cast.made()
    answer = cast.visitor.get(f"/loops/{loop}/file")
    shown = cast.api(loop)["verification"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{shown["file"]}"'
    assert answer.text == shown["content"] + "\n"


def test_where_the_file_is_not_found_the_page_says_what_stood_where(cast: Cast) -> None:
    loop = cast.made()
    file = cast.api(loop)["verification"]["file"]
    cast.site.script = {f"/{file}": (200, {}, b"<h1>My shop</h1>")}
    answer = cast.visitor.post(f"/loops/{loop}/verify")
    assert answer.status_code == 422
    assert f'{cast.site.url}/hooks/{file}</p><p class="wrong">Answered 404' in answer.text
    assert "Has another content" in answer.text
    assert "&lt;h1&gt;My shop&lt;/h1&gt;" in answer.text
    assert cast.api(loop)["state"] == "unverified"


def test_a_verified_loop_is_tested_and_the_answer_shown(cast: Cast) -> None:
    loop = cast.verified()
    assert cast.api(loop)["state"] == "active"
    cast.site.script["/hooks/in"] = (200, {}, b"thank <you>")
    answer = cast.visitor.post(f"/loops/{loop}/test")
    assert "Your server answered 200" in answer.text
    assert "thank &lt;you&gt;" in answer.text
    cast.site.script["/hooks/in"] = (500, {}, b"")
    assert "Your server answered 500" in cast.visitor.post(f"/loops/{loop}/test").text


def test_an_address_that_is_not_proved_is_not_tested(cast: Cast) -> None:
    loop = cast.made()
    answer = cast.visitor.post(f"/loops/{loop}/test")
    assert answer.status_code == 409
    assert "not verified" in answer.text
    assert cast.site.asked == []


def test_paused_and_resumed_where_one_is(cast: Cast) -> None:
    loop = cast.verified()
    answer = cast.visitor.post(f"/loops/{loop}/pause", {"back": "/loops?q=shop"})
    assert answer.headers["location"] == "/loops?q=shop"
    page = cast.get("/loops?q=shop")
    assert "shop is paused" in page
    assert f'action="/loops/{loop}/resume"' in page
    assert cast.visitor.post(f"/loops/{loop}/resume", {"back": "//evil.example"}).headers["location"] == "/loops"
    assert cast.api(loop)["state"] == "active"


def test_settings_show_what_is_and_save_what_is_changed(cast: Cast) -> None:
    loop = cast.verified()
    before = cast.api(loop)
    page = cast.get(f"/loops/{loop}/settings")
    assert f'value="{before["url"]}"' in page
    form = [
        ("name", "new name"),
        ("url", before["url"]),
        ("events", "bounce"),
        ("format", "json"),
        ("mailings", "m1\nm2"),
    ]
    form += [("which_fields", "some"), ("fields", "city, name"), ("which_headers", "replace"), ("headers", "X-Key: 1")]
    assert cast.visitor.post(f"/loops/{loop}/settings", form).headers["location"] == f"/loops/{loop}/settings"
    after = cast.api(loop)
    assert after == before | {
        "name": "new name", "events": ["bounce"], "format": "json", "fields": ["city", "name"], "headers": ["X-Key"],
        "filter": {"mailings": ["m1", "m2"], "tags": [], "machine": False, "exclude_origins": []},
    }  # fmt: skip
    kept = [*form[:-2], ("which_headers", "keep"), ("headers", "")]
    cast.visitor.post(f"/loops/{loop}/settings", kept)
    assert cast.api(loop)["headers"] == ["X-Key"]
    cast.visitor.post(f"/loops/{loop}/settings", [*kept[:-2], ("which_headers", "none")])
    assert cast.api(loop)["headers"] == []


def test_a_new_address_leads_to_its_proof(cast: Cast) -> None:
    loop = cast.verified()
    form = [*WISH, ("url", f"{cast.site.url}/other/in")]
    answer = cast.visitor.post(f"/loops/{loop}/settings", form)
    assert answer.headers["location"] == f"/loops/{loop}/verify"
    assert "The address is new" in cast.get(f"/loops/{loop}/verify")
    assert cast.api(loop)["state"] == "unverified"


def test_a_new_secret_is_shown_once_and_both_keys_expiries_stand_there(cast: Cast) -> None:
    loop = cast.made()
    cast.get(f"/loops/{loop}/verify")
    assert cast.visitor.post(f"/loops/{loop}/secrets").headers["location"] == f"/loops/{loop}"
    first, second = cast.get(f"/loops/{loop}"), cast.get(f"/loops/{loop}")
    assert re.search(r"whsec_[A-Za-z0-9+/]{43}=", first)
    assert not re.search(r"whsec_[A-Za-z0-9+/]{43}=", second)
    assert "signs until" in second
    assert second.count("Current <small>since") == 1


def test_a_loop_is_removed_by_its_name(cast: Cast) -> None:
    loop = cast.made()
    wrong = cast.visitor.post(f"/loops/{loop}/remove", {"name": "sho"})
    assert wrong.status_code == 422
    assert "nothing was removed" in wrong.text
    assert cast.visitor.post(f"/loops/{loop}/remove", {"name": "shop"}).headers["location"] == "/loops"
    assert "shop was removed" in cast.get("/loops")
    assert cast.visitor.get(f"/loops/{loop}").status_code == 404


def test_how_loops_fare_is_shown_where_it_is_known(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    known = cast.console.loop(cast.key, name="known")["id"]
    cast.console.loop(cast.key, name="unknown")

    async def of(*_asked: object) -> dict[str, Health]:
        return {known: Health([0, 3, 1], 0.99999, 1234.0, 4321)}

    monkeypatch.setattr(StoredHealth, "of", of)
    page = cast.get("/loops")
    for told in ("99.9 %", "1.2 s", "4,321", "4 POSTs in 24 hours", 'points="0.0,22.0 48.0,2.0 96.0,15.3"'):
        assert page.count(told) == 1
    assert page.count(">–<") == 4  # noqa: RUF001
    assert "4,321" in cast.get(f"/loops/{known}")
