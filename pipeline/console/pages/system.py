"""The installation, for who operates it: stages, lag, topics, and which accounts there are. Nothing of an account."""

from starlette.responses import Response

from pipeline import __version__
from pipeline.console.console import Console
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit


class SystemPage:
    """The operator's page."""

    def __init__(self, console: Console, views: Views) -> None:
        self._system = console.effects.system
        self._picture = console.directory.picture
        self._views = views

    async def show(self, visit: Visit) -> Response:
        """`GET /system`."""
        plant = await self._system.look()
        accounts = sorted(self._picture.accounts.values(), key=lambda one: one.account)
        return self._views.page(visit, "system.html", plant=plant, accounts=accounts, version=__version__)
