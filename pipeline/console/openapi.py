"""The OpenAPI document: FastAPI's own, with what it can't know: examples, and which problems a call may have."""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from pipeline.console.examples import EXAMPLES, PROBLEMS, Example
from pipeline.console.forms import Form, HitByLink, HitLine, ProfileLine, TrackForm
from pipeline.console.problems import KINDS, MEDIA_TYPE, SCHEMA, Kind

Json = dict[str, Any]

DESCRIPTION = """\
The feedback-loop engine of an e-mail sender: opens and clicks come in, and leave as signed POSTs to servers that proved
they want them.

Show your account's API key with every call: `Authorization: Bearer KEY`. A key sees what is its account's; all else is
404. Bodies and answers are JSON, times are RFC 3339 in UTC. Ids are 1 to 128 characters of
`A-Z a-z 0-9 . _ : @ + -`.

A call that can't be answered gets a problem document (RFC 9457): `type` says which problem it is, `detail` is one
sentence, `errors` says what is wrong where. A key may make 1000 calls a second, 2000 at once; then there is a 429 whose
`Retry-After` says how many seconds to wait.
"""
TAGS = {
    "Accounts": "An account is one sender, its users are the people who sign in to the console. Made with the "
    "admin key.",
    "Privacy": "What is kept of readers, by the account's choice. How much of an address is kept of anybody is "
    "the installation's (`IP_POLICY`).",
    "Profiles and mailings": "Who the recipients are and what is sent to them. What was acknowledged here is known to "
    "every hit that comes after it.",
    "Links": "The tracking links of a mail. Two headers give its reader a button that needs no page (RFC 8058); DKIM "
    "has to sign both: `List-Unsubscribe: <URL>`, with the `unsubscribe` of the answer, and "
    "`List-Unsubscribe-Post: List-Unsubscribe=One-Click`.",
    "Hits": "What mail servers tell of a mail. Each becomes an event, joined and sent on as clicks are.",
    "Replays": "Past events, sent again to one loop.",
    "Loops": "A loop is a wish to be told: where, about what. Nothing is sent to an address before a file on its "
    "server proved that it wants it.",
    "Attempts": "What was sent, how it was answered, and how all of it went over time. An attempt is one POST: it is "
    "`delivered`, or `retrying` where it failed and will be made again, or `dead` where it failed for good.",
    "Dead letters": "What was given up: after the last rung of the ladder, on a 410, or because its loop was removed. "
    "Each is kept for 30 days with its reason and its failed attempts, and can be sent once more.",
}
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
PROBLEM: Json = {"description": "A problem document (RFC 9457)", "content": {MEDIA_TYPE: {"schema": PROBLEM_REF}}}
RAW_FORMS: tuple[type[Form], ...] = (ProfileLine, HitLine, HitByLink, TrackForm)  # of bodies that calls read themselves


def _lines(description: str, *forms: type[Form]) -> Json:
    """The body of a call that takes lines."""
    references = [{"$ref": f"#/components/schemas/{form.__name__}"} for form in forms]
    content = {
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}},
    }
    return {"requestBody": {"required": True, "description": description, "content": content}}


LINES = _lines("One profile a line, each at most 64 KiB; as many lines as there are.", ProfileLine)
HITS = _lines("One hit, or one a line, each at most 64 KiB; as many lines as there are.", HitLine, HitByLink)
TRACK: Json = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TrackForm"}}},
    }
}

# Beside those that follow from what a call takes.
MORE: dict[str, tuple[Kind, ...]] = {
    "POST /v1/accounts": ("taken",),
    "POST /v1/accounts/{account}/users": ("taken",),
    "PUT /v1/accounts/{account}/domains": ("taken",),
    "POST /v1/track": ("crowded",),
    "POST /v1/loops/{loop}/verify": ("changed", "unverifiable"),
    "POST /v1/loops/{loop}/test": ("unverified",),
    "POST /v1/loops/{loop}/replays": ("unverified", "busy"),
    "GET /v1/loops/{loop}/attempts": ("no-store",),
    "POST /v1/loops/{loop}/attempts/{attempt}/again": ("unverified", "a-batch", "gone", "no-store"),
    "GET /v1/loops/{loop}/stats": ("no-store",),
    "GET /v1/loops/{loop}/dead": ("no-store",),
    "GET /v1/loops/{loop}/dead/{delivery}": ("no-store",),
    "POST /v1/loops/{loop}/dead/redrive": ("unverified", "no-store"),
    "POST /v1/loops/{loop}/dead/purge": ("no-store",),
}
WITH_KAFKA = frozenset({"GET /v1/replays/{replay}", "GET /v1/loops/{loop}/replays"})
WITHOUT_KAFKA = frozenset({"POST /v1/track", "POST /v1/loops/{loop}/test"})


class Api(FastAPI):
    """An application whose document is completed, once."""

    def openapi(self) -> Json:
        """The document."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema


def calls(document: Json) -> Iterator[tuple[str, Json]]:
    """Every call as `POST /v1/loops`, and what the document says of it."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def completed(document: Json) -> Json:
    """The document with all that we know."""
    document["info"]["description"] = DESCRIPTION
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    raw = {form.__name__: form.model_json_schema() for form in RAW_FORMS}
    document["components"]["schemas"] |= {"Problem": SCHEMA} | raw
    for call, operation in calls(document):
        operation["summary"] = re.split("[.;]", operation["description"])[0]
        _exemplify(operation, EXAMPLES.get(call, Example()))
        for kind in kinds(call, operation):
            _add_problem(operation["responses"], kind)
    return document


def kinds(call: str, operation: Json) -> list[Kind]:
    """The problems that a call may have."""
    found: list[Kind] = ["unauthorized", "too-many-calls", "fault"]
    found += MORE.get(call, ())
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        found += ["not-json"] if "application/x-ndjson" in body else ["not-json", "bad-json", "too-large"]
    checked = (
        one for one in operation.get("parameters", ()) if one["in"] == "query" or "pattern" in str(one["schema"])
    )
    if body or any(checked):
        found.append("invalid")
    if any(name in call for name in ("{loop}", "{replay}", "{account}")):
        found.append("not-found")
    if call in WITH_KAFKA or (not call.startswith("GET") and call not in WITHOUT_KAFKA):
        found.append("unavailable")
    return sorted(found, key=lambda kind: (KINDS[kind][0], kind))


def _exemplify(operation: Json, example: Example) -> None:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        content["example"] = example.asked if media == "application/json" else example.lines
    for status, response in operation["responses"].items():
        if status == "default":
            continue
        content = response.get("content", {}).get("application/json")
        response["description"] = "The answer" if content else "Done; nothing more to say"
        if content:
            content["example"] = example.answered


def _add_problem(responses: Json, kind: Kind) -> None:
    status, title = KINDS[kind]
    empty = {"description": title, "content": {MEDIA_TYPE: {"schema": PROBLEM_REF, "examples": {}}}}
    response = responses.setdefault(str(status), empty)
    response["content"][MEDIA_TYPE]["examples"][kind] = {"summary": title, "value": PROBLEMS[kind].document()}
