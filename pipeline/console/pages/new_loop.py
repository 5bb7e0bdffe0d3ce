"""A new loop in three steps: what is sent where, the proof that its owner wants it, and a first POST."""

from typing import Any

from starlette.responses import PlainTextResponse, Response

from pipeline.console.console import Console
from pipeline.console.forms import LoopForm
from pipeline.console.loop_calls import LoopCalls
from pipeline.console.pages import loop_form, snippets
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.loop_form import Typed
from pipeline.console.pages.preview import preview
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Form, Visit, to
from pipeline.console.problems import Problem


class NewLoopPages:
    """The pages of the three steps."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._effects = console.effects
        self._seals = console.seals
        self._calls = LoopCalls(console)
        self._door = door
        self._views = views
        self._snippets = snippets.every()

    async def form(self, visit: Visit) -> Response:
        """`GET /loops/new`."""
        return self._form(visit, loop_form.typed(Form(())), {})

    async def create(self, visit: Visit) -> Response:
        """`POST /loops/new`: made, or shown again with what is wrong, or with its preview."""
        typed = loop_form.typed(visit.form)
        if visit.form.get("do") == "preview":
            return self._form(visit, typed, {})
        form, wrong = loop_form.checked(loop_form.asked(typed), LoopForm)
        if form is None:
            return self._form(visit, typed, wrong)
        made = await self._calls.create(visit.account, visit.by, form)
        told = Flash(f"{made.name} was created.", loop=made.id, secret=made.secret)
        return self._door.say(visit, to(f"/loops/{made.id}/verify"), told)

    async def preview(self, visit: Visit) -> Response:
        """`POST /loops/preview`: what a script shows beside the form."""
        shown = self._preview(visit, loop_form.typed(visit.form))
        return self._views.page(visit, "_preview.html", **shown)

    async def place(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/verify`."""
        loop = await self._calls.one(visit.account, visit.loop)
        return self._views.page(visit, "verify.html", loop=loop, problem=None, snippets=self._snippets)

    async def check(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/verify`: looks for the file; where it isn't found, what was found instead."""
        try:
            loop = await self._calls.verify(visit.account, visit.by, visit.loop)
        except Problem as problem:
            if problem.kind not in {"unverifiable", "changed"}:
                raise
            loop = await self._calls.one(visit.account, visit.loop)
            shown = {"loop": loop, "problem": problem, "snippets": self._snippets}
            return self._views.page(visit, "verify.html", problem.status_code, **shown)
        told = Flash(f"The file was found: {loop.name} is {loop.state}.")
        return self._door.say(visit, to(f"/loops/{loop.id}/test"), told)

    async def file(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/file`: the verification file, to be saved."""
        loop = await self._calls.one(visit.account, visit.loop)
        disposition = {"content-disposition": f'attachment; filename="{loop.verification.file}"'}
        return PlainTextResponse(f"{loop.verification.content}\n", headers=disposition)

    async def trial(self, visit: Visit) -> Response:
        """`GET /loops/{loop}/test`."""
        loop = await self._calls.one(visit.account, visit.loop)
        return self._views.page(visit, "test.html", loop=loop, answer=None, refusal=None, snippets=self._snippets)

    async def send(self, visit: Visit) -> Response:
        """`POST /loops/{loop}/test`: sends a sample event, and shows what the server answered."""
        answer, refusal = None, None
        try:
            answer = await self._calls.test(visit.account, visit.loop)
        except Problem as problem:
            if problem.kind != "unverified":
                raise
            refusal = problem.detail
        loop = await self._calls.one(visit.account, visit.loop)
        status = 200 if refusal is None else 409
        shown = {"loop": loop, "answer": answer, "refusal": refusal, "snippets": self._snippets}
        return self._views.page(visit, "test.html", status, **shown)

    def _form(self, visit: Visit, typed: Typed, wrong: dict[str, str]) -> Response:
        shown = self._preview(visit, typed) | {"events": loop_form.EVENTS, "wrong": wrong, "loop": None}
        return self._views.page(visit, "new_loop.html", 422 if wrong else 200, **shown)

    def _preview(self, visit: Visit, typed: Typed) -> dict[str, Any]:
        body, now = loop_form.asked(typed), self._effects.now()
        shot = preview(visit.account, body, visit.form.get("show", ""), self._seals, now)
        return {"typed": typed, "preview": shot}
