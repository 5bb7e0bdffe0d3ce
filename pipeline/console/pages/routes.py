"""The pages on one screen: each address, what answers it, and who may."""

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from pipeline.console.console import Console
from pipeline.console.pages import refused
from pipeline.console.pages.assets import Assets
from pipeline.console.pages.attempt_pages import AttemptPages
from pipeline.console.pages.choices import ChoicePages
from pipeline.console.pages.dead_pages import DeadPages
from pipeline.console.pages.door import Door, Page
from pipeline.console.pages.live import LivePages
from pipeline.console.pages.loop_list import LoopListPages
from pipeline.console.pages.new_loop import NewLoopPages
from pipeline.console.pages.one_loop import LoopPages
from pipeline.console.pages.recipients import RecipientPages
from pipeline.console.pages.replay_pages import ReplayPages
from pipeline.console.pages.sign_in import SignIn
from pipeline.console.pages.system import SystemPage
from pipeline.console.pages.views import Views

METHODS = {"GET": ["GET", "HEAD"], "POST": ["POST"]}


def add(app: FastAPI, console: Console) -> Door:
    """Adds the pages to the application; the door also shows why there is no page."""
    assets = Assets()
    views = Views(assets)
    door = Door(console, views)
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route("/static/{name}", assets.serve, methods=METHODS["GET"], response_model=None)
    for page in pages(console, door, views):
        routes.add_api_route(page.path, door.opening(page), methods=METHODS[page.method], response_model=None)
    app.include_router(routes)
    return door


def pages(console: Console, door: Door, views: Views) -> list[Page]:
    """All of them; of two that fit an address the first answers."""
    entry, every = SignIn(console, door, views), LoopListPages(console, door, views)
    new, one = NewLoopPages(console, door, views), LoopPages(console, door, views)
    attempts, replays = AttemptPages(console, door, views), ReplayPages(console, door, views)
    dead, choices = DeadPages(console, door, views), ChoicePages(console, door, views)
    recipients, live, system = (
        RecipientPages(console, views),
        LivePages(console, door, views),
        SystemPage(console, views),
    )
    return [
        Page("GET", "/", entry.home, signed_in=False),
        Page("GET", "/login", entry.show, signed_in=False),
        Page("POST", "/login", entry.sign_in, signed_in=False),
        Page("POST", "/theme", entry.set_theme, signed_in=False),
        Page("POST", "/logout", entry.sign_out),
        Page("GET", "/watch", live.show),
        Page("GET", "/watch/stream", live.stream),
        Page("GET", "/recipients", recipients.find),
        Page("GET", "/settings", choices.settings),
        Page("POST", "/settings", choices.save_privacy, changes=True),
        Page("GET", "/system", system.show, operators=True),
        Page("GET", "/system/accounts/{account}", choices.domains, operators=True),
        Page("POST", "/system/accounts/{account}", choices.save_domains, operators=True),
        Page("GET", "/loops", every.every),
        Page("GET", "/loops/new", new.form, changes=True),
        Page("POST", "/loops/new", new.create, changes=True),
        Page("POST", "/loops/preview", new.preview, changes=True),
        Page("GET", "/loops/{loop}", one.overview),
        Page("POST", "/loops/{loop}/pause", every.pause, changes=True),
        Page("POST", "/loops/{loop}/resume", every.resume, changes=True),
        Page("GET", "/loops/{loop}/file", new.file),
        Page("GET", "/loops/{loop}/verify", new.place),
        Page("POST", "/loops/{loop}/verify", new.check, changes=True),
        Page("GET", "/loops/{loop}/test", new.trial),
        Page("POST", "/loops/{loop}/test", new.send, changes=True),
        Page("GET", "/loops/{loop}/attempts", attempts.every),
        Page("GET", "/loops/{loop}/attempts/{attempt}", attempts.one),
        Page("POST", "/loops/{loop}/attempts/{attempt}/again", attempts.again, changes=True),
        Page("GET", "/loops/{loop}/dead", dead.every),
        Page("POST", "/loops/{loop}/dead/redrive", dead.redrive, changes=True),
        Page("POST", "/loops/{loop}/dead/purge", dead.purge, changes=True),
        Page("GET", "/loops/{loop}/dead/{delivery}", dead.one),
        Page("GET", "/loops/{loop}/replays", replays.every),
        Page("POST", "/loops/{loop}/replays", replays.create, changes=True),
        Page("GET", "/loops/{loop}/replays/{replay}", replays.one),
        Page("GET", "/loops/{loop}/replays/{replay}/progress", replays.progress),
        Page("POST", "/loops/{loop}/replays/{replay}/cancel", replays.cancel, changes=True),
        Page("GET", "/loops/{loop}/lane", one.lane),
        Page("GET", "/loops/{loop}/history", one.history),
        Page("GET", "/loops/{loop}/settings", one.settings, changes=True),
        Page("POST", "/loops/{loop}/settings", one.save, changes=True),
        Page("POST", "/loops/{loop}/secrets", one.rotate, changes=True),
        Page("POST", "/loops/{loop}/remove", one.remove, changes=True),
    ]


def for_people(request: Request) -> bool:
    """Whether who asks for what isn't there is a browser, outside of the API."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def nothing_here(door: Door, request: Request) -> Response:
    """The page of an address that is none."""
    return door.refusal(request, refused.missing())
