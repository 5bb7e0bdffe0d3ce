"""The API on one screen: each call, who may make it, what it answers."""

import logging

from confluent_kafka import KafkaException
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Match

from pipeline import __version__
from pipeline.console import docs, problems
from pipeline.console.account_calls import AccountCalls
from pipeline.console.attempt_calls import AttemptCalls
from pipeline.console.calls import KEY, PREFIX, AccountCall, AdminCall, LargeCall, LinesCall
from pipeline.console.console import Console, CrowdedError, StoreAwayError
from pipeline.console.dead_calls import DeadCalls
from pipeline.console.heads import Heads
from pipeline.console.health import Health
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.mail_calls import MailCalls
from pipeline.console.measured import Measured
from pipeline.console.openapi import HITS, LINES, PROBLEM, TRACK, Api
from pipeline.console.pages import routes as pages
from pipeline.console.problems import Problem
from pipeline.console.replay_calls import ReplayCalls
from pipeline.console.shown import LinksShown
from pipeline.console.user_calls import UserCalls

log = logging.getLogger(__name__)
METHOD_NOT_ALLOWED = 405
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def build(console: Console) -> FastAPI:
    """The application; `console` is all it knows of the world."""
    app = Api(title="Loopwire", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.console = console
    health, mail, loops = Health(console), MailCalls(console), LoopCalls(console)
    chosen = AccountCalls(console)
    replays = _replays(ReplayCalls(console))
    for routes in (
        _health(health),
        _admin(mail),
        _users(UserCalls(console)),
        _domains(chosen),
        _privacy(chosen),
        _mail(mail),
        _lines(mail),
        _track(mail),
        _hits(mail),
        _loops(loops),
        replays,
    ):
        app.include_router(routes)
    app.include_router(_attempts(AttemptCalls(console)))
    app.include_router(_dead(DeadCalls(console)))
    app.state.door = pages.add(app, console)
    _answer_problems(app)
    app.add_middleware(Measured, clock=console.effects.clock)
    app.add_middleware(Heads)
    return app


def _health(calls: Health) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    for path, call in (("/live", calls.live), ("/ready", calls.ready), ("/metrics", calls.metrics)):
        routes.add_api_route(path, call, methods=["GET", "HEAD"])
    routes.add_api_route("/docs", _docs, methods=["GET", "HEAD"])
    return routes


def _admin(calls: MailCalls) -> APIRouter:
    routes = _router(AdminCall, "Accounts")
    routes.add_api_route("/accounts", calls.add_account, methods=["POST"], status_code=201)
    return routes


def _domains(calls: AccountCalls) -> APIRouter:
    routes = _router(AdminCall, "Accounts")
    routes.add_api_route("/accounts/{account}/domains", calls.domains, methods=["GET"])
    routes.add_api_route("/accounts/{account}/domains", calls.put_domains, methods=["PUT"])
    return routes


def _privacy(calls: AccountCalls) -> APIRouter:
    routes = _router(AccountCall, "Privacy")
    routes.add_api_route("/privacy", calls.privacy, methods=["GET"])
    routes.add_api_route("/privacy", calls.put_privacy, methods=["PUT"])
    return routes


def _users(calls: UserCalls) -> APIRouter:
    routes = _router(AdminCall, "Accounts")
    routes.add_api_route("/accounts/{account}/users", calls.add, methods=["POST"], status_code=201)
    routes.add_api_route("/accounts/{account}/users", calls.every, methods=["GET"])
    routes.add_api_route("/accounts/{account}/users/{user}", calls.remove, methods=["DELETE"], status_code=204)
    routes.add_api_route("/accounts/{account}/users/{user}/password", calls.change_password, methods=["POST"])
    return routes


def _mail(calls: MailCalls) -> APIRouter:
    routes = _router(AccountCall, "Profiles and mailings")
    routes.add_api_route("/profiles/{profile}", calls.put_profile, methods=["PUT"], status_code=204)
    routes.add_api_route("/profiles/{profile}", calls.delete_profile, methods=["DELETE"], status_code=204)
    routes.add_api_route("/mailings/{mailing}", calls.put_mailing, methods=["PUT"], status_code=204)
    return routes


def _lines(calls: MailCalls) -> APIRouter:
    routes = _router(LinesCall, "Profiles and mailings")
    routes.add_api_route(
        "/profiles",
        calls.load_profiles,
        methods=["POST"],
        response_model_exclude_defaults=True,
        openapi_extra=LINES,
    )
    return routes


def _hits(calls: MailCalls) -> APIRouter:
    routes = _router(LinesCall, "Hits")
    routes.add_api_route(
        "/hits",
        calls.load_hits,
        methods=["POST"],
        status_code=202,
        response_model_exclude_defaults=True,
        openapi_extra=HITS,
    )
    return routes


def _track(calls: MailCalls) -> APIRouter:
    routes = _router(LargeCall, "Links")
    routes.add_api_route("/track", calls.track, methods=["POST"], response_model=LinksShown, openapi_extra=TRACK)
    return routes


def _loops(calls: LoopCalls) -> APIRouter:
    routes = _router(AccountCall, "Loops")
    routes.add_api_route("/loops", calls.create, methods=["POST"], status_code=201)
    routes.add_api_route("/loops", calls.every, methods=["GET"])
    routes.add_api_route("/loops/{loop}", calls.one, methods=["GET"])
    routes.add_api_route("/loops/{loop}", calls.change, methods=["PATCH"])
    routes.add_api_route("/loops/{loop}", calls.remove, methods=["DELETE"], status_code=204)
    routes.add_api_route("/loops/{loop}/history", calls.history, methods=["GET"])
    routes.add_api_route("/loops/{loop}/verify", calls.verify, methods=["POST"])
    routes.add_api_route("/loops/{loop}/pause", calls.pause, methods=["POST"])
    routes.add_api_route("/loops/{loop}/resume", calls.resume, methods=["POST"])
    routes.add_api_route("/loops/{loop}/test", calls.test, methods=["POST"], response_model_exclude_defaults=True)
    routes.add_api_route("/loops/{loop}/secrets", calls.rotate, methods=["POST"], status_code=201)
    return routes


def _replays(calls: ReplayCalls) -> APIRouter:
    routes = _router(AccountCall, "Replays")
    routes.add_api_route("/loops/{loop}/replays", calls.create, methods=["POST"], status_code=202)
    routes.add_api_route("/loops/{loop}/replays", calls.every, methods=["GET"])
    routes.add_api_route("/replays/{replay}", calls.one, methods=["GET"])
    routes.add_api_route("/replays/{replay}", calls.cancel, methods=["DELETE"])
    return routes


def _attempts(calls: AttemptCalls) -> APIRouter:
    routes = _router(AccountCall, "Attempts")
    routes.add_api_route("/loops/{loop}/attempts", calls.attempts, methods=["GET"])
    routes.add_api_route("/loops/{loop}/attempts/{attempt}/again", calls.again, methods=["POST"], status_code=202)
    routes.add_api_route("/loops/{loop}/stats", calls.stats, methods=["GET"])
    return routes


def _dead(calls: DeadCalls) -> APIRouter:
    routes = _router(AccountCall, "Dead letters")
    routes.add_api_route("/loops/{loop}/dead", calls.every, methods=["GET"])
    routes.add_api_route("/loops/{loop}/dead/redrive", calls.redrive, methods=["POST"], status_code=202)
    routes.add_api_route("/loops/{loop}/dead/purge", calls.purge, methods=["POST"])
    routes.add_api_route("/loops/{loop}/dead/{delivery}", calls.one, methods=["GET"])
    return routes


def _router(kind: type[APIRoute], tag: str) -> APIRouter:
    return APIRouter(prefix=PREFIX, tags=[tag], route_class=kind, dependencies=[KEY], responses={"default": PROBLEM})


async def _docs(request: Request) -> Response:
    app: Api = request.app
    return HTMLResponse(docs.page(app.openapi()), headers=docs.HEADERS)


def _answer_problems(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _left)
    for kind in (KafkaException, BufferError, TimeoutError):
        app.add_exception_handler(kind, _unavailable)
    app.add_exception_handler(StoreAwayError, _no_store)
    app.add_exception_handler(CrowdedError, _crowded)
    app.add_exception_handler(Exception, _fault)


async def _refused(request: Request, wrong: Exception) -> Response:
    if isinstance(wrong, Problem):
        return problems.answer(wrong)
    if pages.for_people(request):
        return pages.nothing_here(request.app.state.door, request)
    assert isinstance(wrong, HTTPException)  # noqa: S101 (for mypy: it is registered for no other)
    headers = {"allow": _allowed(request)} if wrong.status_code == METHOD_NOT_ALLOWED else wrong.headers
    return problems.answer(problems.of_status(wrong.status_code, request.method, request.url.path, headers))


def _allowed(request: Request) -> str:
    """The methods of all calls at the address (RFC 9110 section 15.5.6); routing itself knows those of the first."""
    routes: list[BaseRoute] = request.app.routes
    scopes = [{**request.scope, "method": method} for method in METHODS]
    found = {scope["method"] for scope in scopes if any(one.matches(scope)[0] is Match.FULL for one in routes)}
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))  # a HEAD came here as a GET


async def _invalid(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, RequestValidationError)  # noqa: S101 (as above)
    return problems.answer(problems.of_validation(wrong.errors()))


async def _left(_request: Request, _wrong: Exception) -> Response:
    return problems.answer(Problem("bad-request", "the body did not come to its end"))  # nobody hears it


async def _unavailable(request: Request, wrong: Exception) -> Response:
    log.warning("%s %s: kafka did not acknowledge: %r", request.method, request.url.path, wrong)
    detail = "Kafka did not acknowledge it in time. It may still come: ask, or send it again"
    return problems.answer(Problem("unavailable", detail, headers={"retry-after": "5"}))


async def _no_store(_request: Request, _wrong: Exception) -> Response:
    detail = "the store of attempts does not answer now: ask again"
    return problems.answer(Problem("no-store", detail, headers={"retry-after": "2"}))


async def _crowded(_request: Request, _wrong: Exception) -> Response:
    detail = "too many mails wait to be rewritten: send it again"
    return problems.answer(Problem("crowded", detail, headers={"retry-after": "1"}))


async def _fault(request: Request, wrong: Exception) -> Response:
    log.error("%s %s: a fault of ours", request.method, request.url.path, exc_info=wrong)
    return problems.answer(Problem("fault", "this is a fault of ours, and is in our log"))
