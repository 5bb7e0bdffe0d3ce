"""HEAD of a call is answered as its GET, without the body (RFC 9110 section 9.3.2), which the server leaves out."""

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.console.calls import PREFIX


class Heads:
    """Around the application: FastAPI's GET routes take no HEAD, and one of their own would be in the OpenAPI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"].startswith(f"{PREFIX}/"):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
