"""The API as a command calls it: JSON comes back, or a mistake that says what to do."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from pipeline.cli.caller import Caller
from pipeline.cli.mistakes import Mistake, Refused, Unreachable

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from urllib3.util import Retry

# requests is imported where it is used: a stage's process is a `loopwire` command too, and would keep its 7 MB.

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TRIES = 8
BACKOFF_SECONDS = 0.25  # doubled each time where no Retry-After says better
LONGEST_WAIT_SECONDS = 30
UNAUTHORIZED = 401
JSON = "application/json"
NDJSON = "application/x-ndjson"


def path(*words: str) -> str:
    """`/v1/...` of the words, each escaped. Mistake where one is empty or means a folder: it would be another call."""
    if "" in words:
        raise Mistake("an id has 1 to 128 characters of A-Z a-z 0-9 . _ : @ + -")
    if folder := next((word for word in words if word in {".", ".."}), None):
        raise Mistake(f"the id {folder} can't stand in an address")
    return "/v1/" + "/".join(quote(word, safe="") for word in words)


class Api:
    """Calls on kept connections; several threads may call at once.

    A `patient` one asks again after 429 and 503, as `Retry-After` says: only for calls that may be made twice.
    """

    def __init__(self, caller: Caller, *, patient: bool = False) -> None:
        self._caller = caller
        self._session = _session(caller, patient=patient)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """The answer's JSON, None where it has none; Refused or Unreachable."""
        return self.send(method, path, None if body is None else msgspec.json.encode(body), JSON)

    def send(self, method: str, path: str, body: bytes | None, kind: str) -> Any:  # noqa: ANN401 (JSON)
        """The same, with a body of this media type."""
        answer = self._answer(method, path, body, {} if body is None else {"Content-Type": kind})
        if not answer.ok or answer.is_redirect:
            raise self._refused(method, path, answer)
        try:
            return msgspec.json.decode(answer.content) if answer.content else None
        except msgspec.MsgspecError as wrong:
            raise Mistake(f"{self._place(method, path)} was not answered by JSON: {self._doubt()}") from wrong

    def _answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> "Response":
        import requests  # noqa: PLC0415

        try:
            return self._session.request(
                method,
                self._caller.url + path,
                data=body,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
            )
        except requests.RequestException as failed:
            raise Unreachable(
                f"{self._caller.url} does not answer: {_reason(failed)} "
                "(`loopwire up` starts everything here; LOOPWIRE_API_URL says where else the API is)"
            ) from failed

    def _refused(self, method: str, path: str, answer: "Response") -> Refused:
        try:
            document = msgspec.json.decode(answer.content, type=dict[str, Any])
            told = _told(document)
        except (msgspec.MsgspecError, KeyError):
            document, told = {}, f"{self._place(method, path)} was answered {answer.status_code}: {self._doubt()}"
        if answer.is_redirect:
            told = f"{self._caller.url} answers from {answer.headers['location']}: set LOOPWIRE_API_URL to its base"
        if answer.status_code == UNAUTHORIZED:
            told += f" (the key is from {self._caller.source}; `loopwire accounts add NAME` makes an account)"
        return Refused(answer.status_code, document, told)

    def _place(self, method: str, path: str) -> str:
        return f"{method} {self._caller.url}{path}"

    def _doubt(self) -> str:
        return "is LOOPWIRE_API_URL the address of a Loopwire console?"


def _session(caller: Caller, *, patient: bool) -> "Session":
    import requests  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    def authorized(request: "PreparedRequest") -> "PreparedRequest":
        request.headers["Authorization"] = f"Bearer {caller.key}"
        return request

    session = requests.Session()
    session.auth = authorized  # a header of the session would give way to what stands in ~/.netrc
    session.trust_env = urlsplit(caller.url).hostname not in LOOPBACK  # no proxy leads to this machine
    session.headers["Accept"] = JSON
    if patient:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=_retry()))
    return session


def _retry() -> "Retry":
    from urllib3.util import Retry  # noqa: PLC0415

    class Capped(Retry):
        def get_retry_after(self, response: Any) -> float | None:  # noqa: ANN401 (urllib3 renamed its type)
            asked = super().get_retry_after(response)
            return None if asked is None else min(asked, LONGEST_WAIT_SECONDS)

    return Capped(
        total=TRIES,
        connect=0,
        read=1,  # a kept connection that the other side just closed
        allowed_methods=None,
        status_forcelist={429, 503},
        backoff_factor=BACKOFF_SECONDS,
        raise_on_status=False,
    )


def _told(document: dict[str, Any]) -> str:
    """A problem document in a line: its detail, or each thing that is wrong where there is more than one."""
    errors = document.get("errors") or []
    if len(errors) > 1:
        return "; ".join(f"{error['where']}: {error['what']}" for error in errors)
    return str(document.get("detail") or document["title"])


def _reason(failed: BaseException) -> str:
    """The system's own words behind what requests and urllib3 wrapped around them."""
    import requests  # noqa: PLC0415

    if isinstance(failed, requests.Timeout):
        return "it takes too long"
    cause: BaseException | None = failed
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        deeper = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        cause = deeper if isinstance(deeper, BaseException) else cause.__cause__ or cause.__context__
    return str(failed) or type(failed).__name__
