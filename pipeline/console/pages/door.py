"""The door of every page: who comes in, whether the form is from a page of ours, and what goes out with the page."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import KafkaException
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pipeline.console import users
from pipeline.console.calls import BODY_LIMIT, Body
from pipeline.console.console import Console
from pipeline.console.pages import flash, refused, sessions
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.headers import guarded
from pipeline.console.pages.refused import Refused
from pipeline.console.pages.sessions import Session
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import FLASH, SESSION, VISITOR, Form, Visit, drop, keep, to, to_sign_in

log = logging.getLogger(__name__)

MOST_FIELDS = 500
MOST_ENDED = 10_000
FORM = "application/x-www-form-urlencoded"
Answer = Callable[[Visit], Awaitable[Response]]


class Page(NamedTuple):
    """One page. `signed_in`: shown to whoever is; `changes`: for editors alone; `operators`: for these alone."""

    method: str
    path: str
    answer: Answer
    signed_in: bool = True
    changes: bool = False
    operators: bool = False


class Door:
    """Belongs to the application; `console` is all it knows of the world."""

    def __init__(self, console: Console, views: Views) -> None:
        self._effects = console.effects
        self._picture = console.directory.picture
        self._admin_key = console.keys.admin
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._views = views
        self.keys = sessions.keys_of(console.keys.master)

    def opening(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """What answers requests of the page."""

        async def call(request: Request) -> Response:
            visit = self._visit(request)
            try:
                response = await self._answer(page, visit, request)
            except HTTPException as wrong:
                response = self._refusal(visit, refused.of(wrong))
            except ClientDisconnect:
                response = Response(status_code=400)  # nobody hears it
            except (KafkaException, BufferError, TimeoutError) as wrong:
                log.warning("%s %s: kafka did not acknowledge: %r", request.method, page.path, wrong)
                response = self._refusal(visit, refused.unavailable())
            except Exception:  # whatever it was, who waits gets a page
                log.exception("%s %s: a fault of ours", request.method, page.path)
                response = self._refusal(visit, refused.fault())
            return guarded(response)

        return call

    def refusal(self, request: Request, wrong: Refused) -> Response:
        """The page that says why there is none."""
        return guarded(self._refusal(self._visit(request), wrong))

    def signed_in(self, visit: Visit, response: Response, session: Session) -> None:
        """From now on the browser is signed in."""
        keep(visit, response, SESSION, sessions.sealed(session, self.keys), sessions.IDLE_SECONDS)
        drop(visit, response, VISITOR)

    def signed_out(self, session: Session) -> None:
        """The session is over here, whoever kept its cookie; streams that it opened end."""
        self._ended[session.nonce] = None
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def is_in(self, visit: Visit) -> bool:
        """Whether the session that the visit began with still holds."""
        return self._session(visit.request) is not None

    def say(self, visit: Visit, response: Response, told: Flash) -> Response:
        """The response; the next page says `told`, once."""
        owner = visit.session.nonce if visit.session else visit.nonce
        random = self._effects.random(flash.RANDOM_BYTES)
        keep(visit, response, FLASH, flash.closed(told, owner, self.keys.flash, random), flash.SECONDS)
        return response

    async def _answer(self, page: Page, visit: Visit, request: Request) -> Response:
        if page.signed_in and visit.session is None:
            return to_sign_in(visit)
        if visit.session and page.operators != visit.session.operator and page.signed_in and page.path != "/logout":
            if visit.session.operator and page.method == "GET":
                return to("/system")
            raise refused.missing()
        if page.method == "POST":
            visit = await self._with_form(visit, request)
        if page.changes and not visit.may_change:
            raise refused.viewer()
        response = await page.answer(visit)
        self._renew(visit, response)
        return response

    def _visit(self, request: Request) -> Visit:
        session = self._session(request)
        nonce = session.nonce if session else request.cookies.get(VISITOR, "")
        if not 16 <= len(nonce) <= 64:
            nonce = sessions.nonce_of(self._effects.random(sessions.NONCE_BYTES))
        told = flash.opened(request.cookies.get(FLASH), nonce, self.keys.flash)
        return Visit(request, Form(()), session, nonce, sessions.form_token(nonce, self.keys), told)

    def _session(self, request: Request) -> Session | None:
        """The session, as long as what was signed in with still opens the account, in the same role."""
        session = sessions.opened(request.cookies.get(SESSION), self.keys, self._effects.now().timestamp())
        if session is None or session.nonce in self._ended:
            return None
        if session.operator:
            held = [users.operator_credential(self._admin_key)] if self._admin_key else []
            return session if (session.role, session.credential) in held else None
        held = users.credentials(self._picture.accounts.get(session.account), session.user)
        return session if (session.role, session.credential) in held else None

    async def _with_form(self, visit: Visit, request: Request) -> Visit:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise Refused(415, "The form was not sent as a form")
        body = (await Body(request, BODY_LIMIT).body()).decode(errors="replace")
        try:
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as wrong:
            raise Refused(400, "The form has too many fields") from wrong
        form = Form(pairs)
        if not _is_ours(request) or not sessions.is_form_token(form.get("token", ""), visit.nonce, self.keys):
            raise refused.foreign()
        return Visit(request, form, visit.session, visit.nonce, visit.token, visit.flash)

    def _renew(self, visit: Visit, response: Response) -> None:
        """The cookies that follow from having shown a page."""
        set_here = b"".join(value for name, value in response.raw_headers if name == b"set-cookie")
        now = self._effects.now().timestamp()
        if visit.session is None:
            if VISITOR not in visit.request.cookies and SESSION.encode() not in set_here:
                keep(visit, response, VISITOR, visit.nonce, sessions.IDLE_SECONDS)
        elif sessions.is_stale(visit.session, now) and SESSION.encode() not in set_here:
            session = sessions.seen(visit.session, now)
            keep(visit, response, SESSION, sessions.sealed(session, self.keys), sessions.IDLE_SECONDS)
        if visit.flash is not None and response.status_code == 200 and FLASH.encode() not in set_here:
            drop(visit, response, FLASH)

    def _refusal(self, visit: Visit, wrong: Refused) -> Response:
        shown = {"title": refused.title(wrong.status_code), "sentence": wrong.detail, "code": wrong.status_code}
        response = self._views.page(visit, "refused.html", wrong.status_code, **shown)
        for name, value in (wrong.headers or {}).items():
            response.headers[name] = value
        return response


def _is_ours(request: Request) -> bool:
    """Whether the browser says that a page of this very host sent the form (every browser does, at a POST)."""
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc.lower() == request.headers.get("host", "").lower()
