"""Whatever is wrong, the caller gets one document that says what and where."""

from typing import Any

import msgspec
import pytest

from pipeline.console import problems
from pipeline.console.problems import Problem, Wrong


@pytest.mark.parametrize(
    ("problem", "document"),
    [
        (
            Problem("not-found", "there is no such loop"),
            {
                "type": "urn:loopwire:problem:not-found",
                "title": "There is no such thing",
                "status": 404,
                "detail": "there is no such loop",
            },
        ),
        (
            Problem("invalid", "body.url: is missing", [Wrong("body.url", "is missing")], fetched=[]),
            {
                "type": "urn:loopwire:problem:invalid",
                "title": "The request is not valid",
                "status": 422,
                "detail": "body.url: is missing",
                "errors": [{"where": "body.url", "what": "is missing"}],
                "fetched": [],
            },
        ),
    ],
)
def test_a_problem_is_a_document(problem: Problem, document: dict[str, Any]) -> None:
    answer = problems.answer(problem)
    assert msgspec.json.decode(answer.body) == document
    assert (answer.status_code, answer.headers["content-type"]) == (
        document["status"],
        "application/problem+json",
    )


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (404, "not-found", "there is no call /v1/x"),
        (405, "method-not-allowed", "/v1/x has no PUT"),
        (400, "bad-request", "the request can't be read"),
    ],
)
def test_what_routing_says_is_a_problem(status: int, kind: str, detail: str) -> None:
    problem = problems.of_status(status, "PUT", "/v1/x", {"allow": "GET"})
    assert (problem.status_code, problem.kind, problem.detail) == (status, kind, detail)
    assert problem.headers == {"allow": "GET"}


def _error(kind: str, message: str = "", **context: Any) -> dict[str, Any]:
    return {"type": kind, "loc": ("body", "tags", 0), "msg": message, "ctx": context}


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (_error("missing"), "is missing"),
        (_error("extra_forbidden"), "is no name that is known here"),
        (_error("model_attributes_type"), "must be a JSON object"),
        (_error("dict_type"), "must be a JSON object"),
        (_error("value_error", error=ValueError("has a fragment")), "has a fragment"),
        (_error("string_type", "Input should be a valid string"), "must be a valid string"),
        (_error("too_short", "List should have at least 1 item"), "must have at least 1 item"),
    ],
)
def test_what_pydantic_finds_is_said_in_our_words(error: dict[str, Any], what: str) -> None:
    problem = problems.of_validation([error])
    assert (problem.detail, problem.errors) == (f"body.tags.0: {what}", [Wrong("body.tags.0", what)])


def test_of_many_errors_the_first_is_the_detail_and_a_hundred_are_shown() -> None:
    problem = problems.of_validation([_error("missing")] * 1000)
    assert problem.detail == "body.tags.0: is missing (and 999 more)"
    assert len(problem.document()["errors"]) == 100
