"""Why a page isn't shown: in words for people, with the status for browsers."""

from starlette.exceptions import HTTPException

from pipeline.console.problems import Problem

TITLES = {
    403: "That isn't allowed",
    404: "There is nothing here",
    429: "Too many attempts",
    500: "Something broke on our side",
    503: "There is no answer now",
}


class Refused(HTTPException):
    """A page that can't be shown: `detail` is a sentence that says what to do."""


def viewer() -> Refused:
    """A viewer asked for a change."""
    return Refused(403, "You are signed in as a viewer, who sees everything and changes nothing. Ask an editor.")


def foreign() -> Refused:
    """A form that was not sent by a page of ours."""
    return Refused(
        403,
        "This form was not sent from a page of this console, or the page was from before you signed in. Open it again.",
    )


def missing() -> Refused:
    """No such page."""
    return Refused(404, "The page was moved or removed, or belongs to another account.")


def limited(seconds: int) -> Refused:
    """Too many attempts to sign in."""
    wait = f"{seconds} second{'' if seconds == 1 else 's'}"
    return Refused(429, f"Wait {wait}, then sign in again.", {"retry-after": str(seconds)})


def unavailable() -> Refused:
    """Kafka did not acknowledge a change."""
    return Refused(
        503, "The change was not acknowledged in time. It may still come: look, then try again.", {"retry-after": "5"}
    )


def no_store() -> Refused:
    """The store of attempts gives no answer."""
    return Refused(503, "The store of attempts does not answer now. Try again in a moment.", {"retry-after": "2"})


def fault() -> Refused:
    """A fault of ours."""
    return Refused(500, "It is in our log. Try again in a moment.")


def of(wrong: HTTPException) -> Refused:
    """Whatever the API or the reading of a request says, for a page."""
    if isinstance(wrong, Refused):
        return wrong
    if wrong.status_code == 404:
        return missing()
    sentence = wrong.detail if isinstance(wrong, Problem) else "The request can't be read"
    return Refused(wrong.status_code, f"{sentence[:1].upper()}{sentence[1:]}.", wrong.headers)


def title(status: int) -> str:
    """The page's heading."""
    return TITLES.get(status, "That can't be done")
