"""What every call has in common: a key is shown, the body is JSON and bounded, answers are not stored."""

import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.responses import Response
from starlette.types import Message, Receive

from pipeline.console import accounts, problems
from pipeline.console.console import Console
from pipeline.console.limits import BURST, RATE
from pipeline.console.problems import Problem

BODY_LIMIT = 64 * 1024
LARGE_BODY_LIMIT = 4 * 1024 * 1024
PREFIX = "/v1"  # of every call
API_KEY = "API key"  # no user can have this name
KEY = Depends(HTTPBearer(auto_error=False, description="an account's API key; the admin key for accounts"))


class Body(Request):
    """A request whose body is bounded, and read as JSON to the letter of RFC 8259."""

    def __init__(self, request: Request, limit: int) -> None:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)
        super().__init__(request.scope, _bounded(request.receive, limit))

    async def json(self) -> Any:  # noqa: ANN401 (any JSON)
        """The body; Problem where it isn't JSON."""
        return problems.read_json(await self.body())


class Call(APIRoute):
    """A call with no key. The key comes first: who has none learns nothing of what a body should be."""

    limit: ClassVar[int] = BODY_LIMIT
    kinds: ClassVar[tuple[str, ...]] = ("application/json",)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """FastAPI's own, between the checks before and after."""
        handle = super().get_route_handler()

        async def call(request: Request) -> Response:
            request.state.account = self.caller(request)
            response = await handle(self.checked(request))
            response.headers.setdefault("cache-control", "no-store")
            return response

        return call

    def checked(self, request: Request) -> Request:
        """The request, its body bounded; Problem where that is sent as something else than it must be."""
        if self.body_field is not None:
            _check_type(request, self.kinds)
            if "content-type" not in request.headers:  # FastAPI reads no JSON that is not called so
                request.scope["headers"] = [*request.scope["headers"], (b"content-type", self.kinds[0].encode())]
        return Body(request, self.limit)

    def caller(self, request: Request) -> str | None:  # noqa: ARG002 (for those that ask)
        """The account that calls."""
        return None


class AccountCall(Call):
    """A call with an account's API key."""

    def caller(self, request: Request) -> str:
        """The account whose key it is; Problem where there is none."""
        key = accounts.hashed(_key(request))
        account = _console(request).directory.picture.account_with(key)
        if account is None:
            raise _unauthorized("this key is no account's")
        _count(request, key)
        return account


class LargeCall(AccountCall):
    """An account's call whose body may be large, and which reads it itself, beside the event loop."""

    limit = LARGE_BODY_LIMIT

    def checked(self, request: Request) -> Request:
        """The request, its body bounded; Problem where that is sent as something else than JSON."""
        _check_type(request, self.kinds)
        return Body(request, self.limit)


class LinesCall(AccountCall):
    """An account's call whose body is lines of JSON, as many as there are: it is read as it comes and never held."""

    kinds = ("application/x-ndjson", "application/json", "application/ndjson", "application/jsonl")

    def checked(self, request: Request) -> Request:
        """The request as it is; Problem where its body is sent as something else."""
        _check_type(request, self.kinds)
        return request


class AdminCall(Call):
    """A call with the admin key."""

    def caller(self, request: Request) -> None:
        """No account; Problem where it is not the admin key."""
        console = _console(request)
        if not console.keys.admin:
            raise _unauthorized("there is no LOOPWIRE_ADMIN_KEY: no admin call is answered")
        if not accounts.is_admin(_key(request), console.keys.admin):
            raise _unauthorized("this is not the admin key")
        _count(request, "admin")


def _account(request: Request) -> str:
    return str(request.state.account)


def _by() -> str:
    return API_KEY


Account = Annotated[str, Depends(_account)]
By = Annotated[str, Depends(_by)]  # who makes the call, for what is written down of it


def _console(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


def _key(request: Request) -> str:
    key = accounts.bearer(request.headers.get("authorization"))
    if key is None:
        raise _unauthorized("no key was shown: send Authorization: Bearer KEY")
    return key


def _count(request: Request, key: str) -> None:
    """One more call of the key; Problem where it made too many. Keys that open nothing are not counted."""
    console = _console(request)
    wait = console.limits.take(key, console.effects.clock())
    if wait:
        seconds = str(math.ceil(wait))  # RFC 9110 section 10.2.3: whole seconds
        detail = f"a key may make {RATE:.0f} calls a second, {BURST:.0f} at once: wait {seconds} s"
        raise Problem("too-many-calls", detail, headers={"retry-after": seconds})


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"www-authenticate": "Bearer"})  # RFC 6750 section 3


def _check_type(request: Request, kinds: tuple[str, ...]) -> None:
    """Problem where the body is said to be something else; a client that says nothing means what is asked for."""
    if "content-type" not in request.headers:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise Problem("not-json", f"send the body with Content-Type: {' or '.join(kinds[:2])}")


def _bounded(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _too_large(limit)
        return message

    return bounded


def _too_large(limit: int) -> Problem:
    """What is left of the body is not read, so nothing can follow it on the connection (RFC 9110 section 15.5.14)."""
    return Problem("too-large", f"the body is larger than {limit} bytes", headers={"connection": "close"})
