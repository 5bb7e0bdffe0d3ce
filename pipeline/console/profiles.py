"""Profiles and mailings are told to us by their sender: each call is one record."""

from datetime import datetime

import msgspec

from pipeline.console.forms import MailingForm, ProfileForm
from pipeline.model.ids import key_of
from pipeline.model.mailings import Mailing
from pipeline.model.profiles import Profile
from pipeline.record import Headers, Record
from pipeline.topics import PROFILES, TAGS


def profile_row(account: str, profile: str, form: ProfileForm, now: datetime) -> Record:
    """The profile as it is from now on."""
    value = Profile(
        id=profile,
        account=account,
        email=form.email,
        fields=form.fields,
        interests=form.interests,
        modified=now,
    )
    return Record(PROFILES, key_of(account, profile).encode(), msgspec.json.encode(value))


def profile_tombstone(account: str, profile: str) -> Record:
    """The record that erases a profile."""
    return Record(PROFILES, key_of(account, profile).encode(), None)


def mailing_row(account: str, mailing: str, form: MailingForm) -> Record:
    """The mailing as it is from now on."""
    value = Mailing(mailing=mailing, account=account, name=form.name, tags=form.tags)
    return Record(TAGS, key_of(account, mailing).encode(), msgspec.json.encode(value))


def from_origin(record: Record, origin: str | None) -> Record:
    """The record with the word of who made the change, for loops that exclude it."""
    headers: Headers = (("origin", origin.encode()),) if origin else ()
    return record._replace(headers=headers)
