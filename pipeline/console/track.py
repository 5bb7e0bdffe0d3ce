"""A sender asks for the links of one mail: the pixel, each link by way of us, the way out; or the mail itself."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from pipeline.capture import rewrite
from pipeline.capture.tokens import signing_key
from pipeline.console import problems
from pipeline.console.forms import MOST_LINKS, TrackForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.shown import LinksShown
from pipeline.links import Mail, Sender


class Tracking(NamedTuple):
    """Where tracking links lead (no slash at its end), and TOKEN_KEYS, the signing one first."""

    base: str
    keys: Mapping[str, bytes]


def answer(tracking: Tracking, account: str, body: bytes, domains: Sequence[str] = ()) -> bytes:
    """The answer to a body, both JSON; Problem where that can't be used. A mail of 4 MB may take a second or more."""
    return links(tracking, account, _form(body), domains).model_dump_json(exclude_none=True).encode()


def _form(body: bytes) -> TrackForm:
    if not body:
        raise problems.of_validation([{"type": "missing", "loc": ("body",)}])
    try:
        return TrackForm.model_validate(problems.read_json(body))
    except ValidationError as wrong:
        found = wrong.errors(include_url=False, include_input=False)
        raise problems.of_validation([{**one, "loc": ("body", *one["loc"])} for one in found]) from wrong


def links(tracking: Tracking, account: str, form: TrackForm, domains: Sequence[str] = ()) -> LinksShown:
    """The addresses to put into the mail, and the mail with them where it was sent along.

    `domains` are the account's own: links lead to the first, where there is one.
    """
    bases = (*domains, tracking.base)
    sender = Sender(account, *signing_key(tracking.keys, account), bases[0])
    mail = sender.mail(form.profile, form.mailing, form.message)
    shown = LinksShown(
        open=mail.open, clicks={url: mail.click(url) for url in form.links}, unsubscribe=mail.unsubscribe
    )
    return shown if form.html is None else _rewritten(shown, mail, rewrite.Wish(bases, form.url_texts), form.html)


def _rewritten(shown: LinksShown, mail: Mail, wish: rewrite.Wish, html: str) -> LinksShown:
    plan = rewrite.plan(html, wish)
    if len(plan.urls) > MOST_LINKS:
        many = Wrong("body.html", f"has {len(plan.urls)} links: {MOST_LINKS} at most")
        raise Problem("invalid", f"{many.where}: {many.what}", [many])
    clicks = shown.clicks | {url: mail.click(url) for url in plan.urls if url not in shown.clicks}
    text = rewrite.rewritten(html, plan, clicks, shown.open)
    return shown.model_copy(update={"clicks": clicks, "html": text})
