"""Every call that can't be answered gets a problem document (RFC 9457): what is wrong, and where."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from fastapi import HTTPException
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
SHOWN_ERRORS = 100

Kind = Literal[
    "bad-request",
    "bad-json",
    "unauthorized",
    "not-found",
    "method-not-allowed",
    "taken",
    "changed",
    "unverified",
    "busy",
    "a-batch",
    "gone",
    "too-large",
    "not-json",
    "invalid",
    "unverifiable",
    "too-many-calls",
    "fault",
    "unavailable",
    "no-store",
    "crowded",
]
KINDS: dict[Kind, tuple[int, str]] = {
    "bad-request": (400, "The request can't be read"),
    "bad-json": (400, "The body is not JSON"),
    "unauthorized": (401, "No valid key"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The address has no such method"),
    "taken": (409, "The name is taken"),
    "changed": (409, "It was changed meanwhile"),
    "unverified": (409, "The loop is not verified"),
    "busy": (409, "Too much is under way"),
    "a-batch": (409, "It told several events"),
    "gone": (410, "It is no longer kept"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body is not sent as JSON"),
    "invalid": (422, "The request is not valid"),
    "unverifiable": (422, "The verification file was not found"),
    "too-many-calls": (429, "The key made too many calls"),
    "fault": (500, "A fault of ours"),
    "unavailable": (503, "Kafka does not answer"),
    "no-store": (503, "The store of attempts does not answer"),
    "crowded": (503, "Too much waits already"),
}
OF_STATUS: dict[int, Kind] = {404: "not-found", 405: "method-not-allowed"}

# For the OpenAPI; `errors` and `fetched` are there where they tell something.
SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "what"],
                "properties": {"where": {"type": "string"}, "what": {"type": "string"}},
            },
        },
        "fetched": {"type": "array", "items": {"type": "object"}},
    },
}


class Wrong(NamedTuple):
    """One thing that is wrong: `where` is a dotted path such as `body.filter.tags.0`."""

    where: str
    what: str


class Problem(HTTPException):
    """A call that can't be answered. `more` are further members of its document."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        errors: Sequence[Wrong] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401 (members of a JSON document)
    ) -> None:
        super().__init__(KINDS[kind][0], detail, dict(headers) if headers else None)
        self.kind = kind
        self.errors = errors
        self.more = more

    def document(self) -> dict[str, Any]:
        """The problem document, RFC 9457 section 3."""
        status, title = KINDS[self.kind]
        standard = {"type": f"urn:loopwire:problem:{self.kind}", "title": title, "status": status}
        errors = [wrong._asdict() for wrong in self.errors[:SHOWN_ERRORS]]
        return standard | {"detail": self.detail} | ({"errors": errors} if errors else {}) | self.more


def answer(problem: Problem) -> Response:
    """The problem as it goes out."""
    headers = {"cache-control": "no-store"} | dict(problem.headers or {})
    return Response(msgspec.json.encode(problem.document()), problem.status_code, headers, MEDIA_TYPE)


def read_json(body: bytes) -> Any:  # noqa: ANN401 (any JSON)
    """What the body says; Problem where it isn't JSON to the letter of RFC 8259."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise Problem("bad-json", f"the body is not JSON: {wrong}") from wrong


def of_status(status: int, method: str, path: str, headers: Mapping[str, str] | None) -> Problem:
    """What routing says (404, 405), or the reading of a body (400), as a problem."""
    kind = OF_STATUS.get(status, "bad-request")
    details = {
        "not-found": f"there is no call {path}",
        "method-not-allowed": f"{path} has no {method}",
    }
    return Problem(kind, details.get(kind, "the request can't be read"), headers=headers)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """What pydantic found, as a problem: the first of it is the detail, all of it are the errors."""
    wrong = wrongs(errors)
    return Problem("invalid", sentence(wrong), wrong)


def wrongs(errors: Sequence[Mapping[str, Any]]) -> list[Wrong]:
    """What pydantic found, in our words; `where` is empty for the whole."""
    return [Wrong(".".join(map(str, error["loc"])), _what(error)) for error in errors]


def sentence(wrong: Sequence[Wrong]) -> str:
    """The first that is wrong, and how much more there is."""
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{wrong[0].where}: {wrong[0].what}{more}".removeprefix(": ")


def _what(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is no name that is known here"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be a JSON object"
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            return re.sub(r"^[A-Z][a-z]* should ", "must ", error["msg"])
