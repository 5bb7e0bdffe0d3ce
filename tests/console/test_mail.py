"""What senders tell us about their mail becomes records, and what they ask for are links."""

from datetime import UTC, datetime

import msgspec

from pipeline.capture.tokens import Link, read
from pipeline.console import profiles, track
from pipeline.console.forms import MailingForm, ProfileForm, TrackForm
from pipeline.console.track import Tracking
from pipeline.model.mailings import Mailing
from pipeline.model.profiles import Profile
from pipeline.record import Record

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}


def test_a_profile_is_a_record() -> None:
    form = ProfileForm(email="jan@example.com", fields={"city": "Utrecht"}, interests=["bikes"])
    record = profiles.profile_row("acme", "p1", form, NOW)
    assert record[:2] == ("profiles", b"acme/p1")
    assert msgspec.json.decode(record.value or b"", type=Profile) == Profile(
        id="p1",
        account="acme",
        email="jan@example.com",
        fields={"city": "Utrecht"},
        interests=["bikes"],
        modified=NOW,
    )


def test_a_profile_goes_by_a_tombstone() -> None:
    assert profiles.profile_tombstone("acme", "p1") == Record("profiles", b"acme/p1", None)


def test_a_mailing_is_a_record() -> None:
    record = profiles.mailing_row("acme", "m1", MailingForm(name="May", tags=["spring"]))
    assert record[:2] == ("tags", b"acme/m1")
    assert msgspec.json.decode(record.value or b"", type=Mailing) == Mailing(
        mailing="m1", account="acme", name="May", tags=["spring"]
    )


def test_who_made_the_change_stands_in_a_header() -> None:
    record = Record("profiles", b"acme/p1", None)
    assert profiles.from_origin(record, "crm").headers == (("origin", b"crm"),)
    assert profiles.from_origin(record, None) == record


def test_links_carry_tokens_of_the_first_key() -> None:
    form = TrackForm(profile="p1", mailing="m1", message="x1", links=["https://a.example/", "https://b.example/é"])
    shown = track.links(Tracking("https://t.example.com", KEYS), "acme", form)
    mail, first = Link("acme", "p1", "m1", "x1"), {"k2": KEYS["k2"]}
    assert read(_token(shown.open, "/o/").removesuffix(".gif"), first, "open") == mail
    assert read(_token(shown.unsubscribe, "/u/"), first, "unsubscribe") == mail
    assert {url: read(_token(link, "/c/"), first, "click") for url, link in shown.clicks.items()} == {
        url: mail._replace(url=url) for url in form.links
    }


def _token(url: str, way: str) -> str:
    base = "https://t.example.com" + way
    assert url.startswith(base)
    return url.removeprefix(base)
