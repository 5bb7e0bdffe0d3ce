"""Each call is measured: how long it took to its answer, and which status that had."""

from collections.abc import Callable

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import metrics

SECONDS = metrics.histogram(
    "loopwire_console_seconds",
    "how long a call took",
    (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    "call",
    "status",
)


class Measured:
    """Around the application; `clock` counts seconds and never goes back."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call. A fault of ours is answered outside of us, by 500."""
        began, status = self._clock(), "500"

        async def noting(message: Message) -> None:
            nonlocal status
            status = str(message.get("status", status))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            SECONDS.labels(call_of(scope), status).observe(self._clock() - began)


def call_of(scope: Scope) -> str:
    """`POST /v1/loops/{loop}/verify`; "none" for what is no call, since anybody can think of those without end."""
    route = scope.get("route")
    if not isinstance(route, Route) or scope["method"] not in (route.methods or ()):
        return "none"
    return f"{scope['method']} {route.path}"
