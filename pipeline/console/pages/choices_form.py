"""An account's choices as forms of HTML: what was typed, as the API takes it, and what is wrong, field by field."""

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.console.pages.visit import Form
from pipeline.console.problems import wrongs
from pipeline.console.shown import DomainsShown, PrivacyShown

Typed = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)
LISTS = ("unregistered", "domains")
NO_ID = "is no id of a mailing: 1 to 128 letters, digits and . _ : @ + -"


def of_privacy(shown: PrivacyShown) -> Typed:
    """As it is, to be changed."""
    return {"obey_signals": shown.obey_signals, "unregistered": "\n".join(shown.unregistered)}


def typed_privacy(form: Form) -> Typed:
    """What was typed, to be shown again."""
    return {"obey_signals": "obey_signals" in form, "unregistered": form.get("unregistered", "")}


def of_domains(shown: DomainsShown) -> Typed:
    """As they are, to be changed."""
    return {"domains": "\n".join(shown.domains)}


def typed_domains(form: Form) -> Typed:
    """What was typed, to be shown again."""
    return {"domains": form.get("domains", "")}


def checked(given: Typed, kind: type[Model]) -> tuple[Model | None, dict[str, str]]:
    """The API's form, or what is wrong in which field."""
    body = {name: _words(value) if name in LISTS else value for name, value in given.items()}
    try:
        return kind.model_validate(body), {}
    except ValidationError as invalid:
        errors = invalid.errors()
    wrong: dict[str, str] = {}
    for error, told in zip(errors, wrongs(errors), strict=True):
        what = f"{error['input']} {NO_ID}" if error["type"].startswith("string_") else told.what
        wrong.setdefault(str(error["loc"][0]), f"{what[:1].upper()}{what[1:]}" if what == told.what else what)
    return None, wrong


def _words(text: str) -> list[str]:
    return [word.strip() for word in re.split(r"[,\n]", text) if word.strip()]
