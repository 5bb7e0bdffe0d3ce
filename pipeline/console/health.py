"""What the console shows to those who watch it: /live, /ready, /metrics."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse

from pipeline.console.console import Console


class Health:
    """Needs no key."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def live(self) -> Response:
        """The process answers."""
        return PlainTextResponse("live\n")

    async def ready(self) -> Response:
        """503 while draining, or when the topics can't be followed."""
        if self._console.ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    async def metrics(self) -> Response:
        """For Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
