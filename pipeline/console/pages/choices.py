"""What an account chose: its readers' privacy, which is its own to set, and its domains, which the operator gives."""

from starlette.responses import Response

from pipeline.console.account_calls import AccountCalls
from pipeline.console.console import Console
from pipeline.console.forms import DomainsForm, PrivacyForm
from pipeline.console.pages import choices_form
from pipeline.console.pages.choices_form import Typed
from pipeline.console.pages.door import Door
from pipeline.console.pages.flash import Flash
from pipeline.console.pages.views import Views
from pipeline.console.pages.visit import Visit, to
from pipeline.console.problems import Problem


class ChoicePages:
    """The account's page, and the operator's of one account."""

    def __init__(self, console: Console, door: Door, views: Views) -> None:
        self._calls = AccountCalls(console)
        self._own = console.tracking.base
        self._door = door
        self._views = views

    async def settings(self, visit: Visit) -> Response:
        """`GET /settings`."""
        return await self._settings(visit, choices_form.of_privacy(await self._calls.privacy(visit.account)), {})

    async def save_privacy(self, visit: Visit) -> Response:
        """`POST /settings`."""
        typed = choices_form.typed_privacy(visit.form)
        form, wrong = choices_form.checked(typed, PrivacyForm)
        if form is None:
            return await self._settings(visit, typed, wrong)
        await self._calls.put_privacy(visit.account, form)
        return self._door.say(visit, to("/settings"), Flash("Saved. It holds for what is opened from now on."))

    async def domains(self, visit: Visit) -> Response:
        """`GET /system/accounts/{account}`, the operator's."""
        known = await self._calls.domains(_account(visit))
        return self._domains(visit, choices_form.of_domains(known), {})

    async def save_domains(self, visit: Visit) -> Response:
        """`POST /system/accounts/{account}`."""
        account, typed = _account(visit), choices_form.typed_domains(visit.form)
        form, wrong = choices_form.checked(typed, DomainsForm)
        if form is None:
            return self._domains(visit, typed, wrong)
        try:
            await self._calls.put_domains(account, form)
        except Problem as problem:
            if problem.kind != "taken":
                raise
            return self._domains(visit, typed, {"domains": problem.errors[0].what})
        told = Flash("Saved. New links lead to the first; capture knows in about a second.")
        return self._door.say(visit, to(f"/system/accounts/{account}"), told)

    async def _settings(self, visit: Visit, typed: Typed, wrong: dict[str, str]) -> Response:
        known = await self._calls.domains(visit.account)
        shown = {"typed": typed, "wrong": wrong, "domains": known.domains, "own": self._own}
        return self._views.page(visit, "choices.html", 422 if wrong else 200, **shown)

    def _domains(self, visit: Visit, typed: Typed, wrong: dict[str, str]) -> Response:
        shown = {"account": _account(visit), "typed": typed, "wrong": wrong, "own": self._own}
        return self._views.page(visit, "domains.html", 422 if wrong else 200, **shown)


def _account(visit: Visit) -> str:
    return str(visit.request.path_params["account"])
