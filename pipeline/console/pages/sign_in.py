"""Signing in: by the account's API key, or as one of its users. And out again."""

import math

from starlette.responses import Response

from pipeline.capture import privacy
from pipeline.console import accounts, users
from pipeline.console.console import Console
from pipeline.console.limits import Limits
from pipeline.console.pages import refused, sessions
from pipeline.console.pages.door import Door
from pipeline.console.pages.sessions import Session
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import SESSION, THEME, THEMES, VISITOR, Visit, drop, keep, local, to

# Whoever mistypes has ten tries at once, whoever guesses one in ten seconds, and 256 bits or a slow hash before them.
TRIES_A_SECOND, TRIES_AT_ONCE = 0.1, 10.0
ADDRESS_TRIES_A_SECOND, ADDRESS_TRIES_AT_ONCE = 0.5, 30.0  # an office is one address
LONGEST_PASSWORD = 256
A_YEAR_SECONDS = 365 * 24 * 3600


class SignIn:
    """The pages before all others."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._console = console
        self._picture = console.directory.picture
        self._door = door
        self._views = views
        self._names = Limits(TRIES_A_SECOND, TRIES_AT_ONCE)
        self._addresses = Limits(ADDRESS_TRIES_A_SECOND, ADDRESS_TRIES_AT_ONCE)

    async def home(self, visit: Visit) -> Response:
        """`GET /`."""
        return to(_home(visit.session) if visit.session else "/login")

    async def show(self, visit: Visit) -> Response:
        """`GET /login`."""
        if visit.session:
            return to(local(visit.query.get("next", ""), _home(visit.session)))
        return self._page(visit, visit.query.get("by", "key"), visit.query.get("next", ""))

    async def sign_in(self, visit: Visit) -> Response:
        """`POST /login`."""
        self._count(visit)
        by = "user" if "user" in visit.form else "key"
        session = await (self._as_user(visit) if by == "user" else self._by_key(visit))
        if session is None:
            wrong = "Account, name or password is wrong." if by == "user" else "This key opens no account."
            return self._page(visit, by, visit.form.get("next", ""), wrong)
        if visit.session is not None:
            self._door.signed_out(visit.session)  # by another window: whoever kept its cookie is out as well
        response = to(local("" if session.operator else visit.form.get("next", ""), _home(session)))
        self._door.signed_in(visit, response, session)
        return response

    async def sign_out(self, visit: Visit) -> Response:
        """`POST /logout`."""
        response = to("/login")
        if visit.session is not None:
            self._door.signed_out(visit.session)
        drop(visit, response, SESSION)
        drop(visit, response, VISITOR)
        return response

    async def set_theme(self, visit: Visit) -> Response:
        """`POST /theme`."""
        response = to(local(visit.form.get("back", "")))
        if (chosen := visit.form.get("theme")) in THEMES:
            keep(visit, response, THEME, str(chosen), A_YEAR_SECONDS)
        else:
            drop(visit, response, THEME)
        return response

    def _page(self, visit: Visit, by: str, back: str, wrong: str | None = None) -> Response:
        typed = {name: visit.form.get(name, "") for name in ("account", "user")}
        status = 200 if wrong is None else 401
        return self._views.page(visit, "login.html", status, by=by, next=local(back, ""), wrong=wrong, typed=typed)

    async def _by_key(self, visit: Visit) -> Session | None:
        given = visit.form.get("key", "").strip()
        if accounts.is_admin(given, self._console.keys.admin):
            return self._session("", None, users.operator_credential(given), operator=True)
        key = accounts.hashed(given)
        name = self._picture.account_with(key)
        if name is None:
            return None
        return self._session(name, None, users.key_credential(name, key))

    async def _as_user(self, visit: Visit) -> Session | None:
        name, user = visit.form.get("account", "").strip(), visit.form.get("user", "").strip()
        given = visit.form.get("password", "")[:LONGEST_PASSWORD]
        found = users.find(self._picture.accounts.get(name), user)
        if not await self._console.effects.hashes.matches(found.password if found else None, given) or found is None:
            return None
        return self._session(name, user, users.user_credential(name, found))

    def _session(
        self, account: str, user: str | None, credential: users.Credential, *, operator: bool = False
    ) -> Session:
        now = int(self._console.effects.now().timestamp())
        nonce = sessions.nonce_of(self._console.effects.random(sessions.NONCE_BYTES))
        role, fingerprint = credential
        return Session(
            account=account,
            user=user,
            role=role,
            credential=fingerprint,
            issued=now,
            seen=now,
            nonce=nonce,
            operator=operator,
        )

    def _count(self, visit: Visit) -> None:
        """One more attempt from this address, and on this account; Refused where there were too many."""
        clock = self._console.effects.clock()
        wait = self._addresses.take(self._address(visit), clock)
        if "user" in visit.form:
            wait = max(wait, self._names.take(visit.form.get("account", "").strip()[:64], clock))
        if wait:
            raise refused.limited(math.ceil(wait))

    def _address(self, visit: Visit) -> str:
        peer = privacy.address(visit.request.client.host if visit.request.client else "")
        if peer is None:
            return ""
        forwarded = visit.request.headers.getlist("x-forwarded-for")
        return str(privacy.client(peer, forwarded, self._console.proxies))


def _home(session: Session) -> str:
    return "/system" if session.operator else "/loops"
