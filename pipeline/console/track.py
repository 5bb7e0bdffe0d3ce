"""A sender asks for the links of one mail: the pixel, each link by way of us, the way out."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.console.forms import TrackForm
from pipeline.console.shown import LinksShown


class Tracking(NamedTuple):
    """Where tracking links lead (no slash at its end), and TOKEN_KEYS, the signing one first."""

    base: str
    keys: Mapping[str, bytes]


def links(tracking: Tracking, account: str, form: TrackForm) -> LinksShown:
    """The addresses to put into the mail."""
    kid, key = signing_key(tracking.keys, account)
    mail = Link(account, form.profile, form.mailing, form.message)
    return LinksShown(
        open=f"{tracking.base}/o/{sign(mail, 'open', kid, key)}.gif",
        clicks={url: f"{tracking.base}/c/{sign(mail._replace(url=url), 'click', kid, key)}" for url in form.links},
        unsubscribe=f"{tracking.base}/u/{sign(mail, 'unsubscribe', kid, key)}",
    )
