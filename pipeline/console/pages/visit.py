"""A visit is one request of a browser: who is signed in, what was sent, and what may be shown."""

from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from starlette.datastructures import ImmutableMultiDict
from starlette.responses import RedirectResponse, Response

from pipeline.console.calls import API_KEY
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.sessions import Session

SESSION, VISITOR, FLASH, THEME = "loopwire-session", "loopwire-visitor", "loopwire-flash", "loopwire-theme"
THEMES = ("light", "dark")
Form = ImmutableMultiDict[str, str]


@dataclass(frozen=True)
class Visit:
    """`session` is None only on pages that need none. `nonce` and `token` are what its forms are bound to."""

    request: Request
    form: Form
    session: Session | None
    nonce: str
    token: str
    flash: Flash | None = None

    @property
    def account(self) -> str:
        """The account that is signed in; only on pages that need a session."""
        assert self.session is not None  # noqa: S101 (the door let nobody else in)
        return self.session.account

    @property
    def by(self) -> str:
        """Who that is, for what is written down of a change."""
        return (self.session.user if self.session else None) or API_KEY

    @property
    def is_operator(self) -> bool:
        """Whether it was signed in by the admin key: that sees the installation, and nothing of an account."""
        return self.session is not None and self.session.operator

    @property
    def name(self) -> str:
        """Who is signed in."""
        assert self.session is not None  # noqa: S101 (as above)
        return self.session.user or self.session.account or "Operator"

    @property
    def loop(self) -> str:
        """The loop's id in the page's path."""
        return str(self.request.path_params["loop"])

    @property
    def query(self) -> Form:
        """What stands after the question mark."""
        return self.request.query_params

    @property
    def theme(self) -> str | None:
        """The theme that was chosen; None: the system's."""
        chosen = self.request.cookies.get(THEME)
        return chosen if chosen in THEMES else None

    @property
    def may_change(self) -> bool:
        """Whether changes are this person's to make."""
        return self.session is not None and self.session.role == "editor"

    @property
    def address(self) -> str:
        """The page's own path and query: where a form may come back to."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    @property
    def is_secure(self) -> bool:
        """Whether the browser speaks https, to us or to a proxy before us."""
        told = self.request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return "https" in (self.request.url.scheme, told)


def local(path: str, otherwise: str = "/loops") -> str:
    """A path of this console, or `otherwise` where it leads elsewhere: browsers read `//x` and `/\\x` as hosts."""
    plain = path.startswith("/") and path.isprintable() and path.isascii() and "\\" not in path
    return path if plain and not path.startswith("//") else otherwise


def to(path: str) -> Response:
    """Go there, and ask by GET (RFC 9110 section 15.4.4)."""
    return RedirectResponse(path, 303)


def to_sign_in(visit: Visit) -> Response:
    """Sign in first; then back, where it was a page that was asked for."""
    back = visit.address if visit.request.method == "GET" and visit.address != "/" else ""
    return to("/login" + (f"?{urlencode({'next': back})}" if back else ""))


def keep(visit: Visit, response: Response, name: str, value: str, seconds: int) -> None:
    """Sets a cookie of ours: never for scripts, never sent along by other sites' forms."""
    response.set_cookie(name, value, seconds, path="/", secure=visit.is_secure, httponly=True, samesite="lax")


def drop(visit: Visit, response: Response, name: str) -> None:
    """Takes a cookie of ours away."""
    response.delete_cookie(name, path="/", secure=visit.is_secure, httponly=True, samesite="lax")
