"""An API of the test's own, and the command in this process: starting one takes most of a second."""

import sys
from collections.abc import Callable, Iterator

import pytest

from pipeline import cli
from tests.cli.running import PLAIN, Api, api

Loopwire = Callable[..., tuple[int, str, str]]
KEY = "lw_of-the-tests"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with api() as one:
        monkeypatch.setenv("LOOPWIRE_API_URL", one.url)
        monkeypatch.setenv("LOOPWIRE_API_KEY", KEY)
        yield one


@pytest.fixture
def loopwire(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Loopwire:
    """Runs a command; its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        for name, value in PLAIN.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["loopwire", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        assert isinstance(code, int)
        return code, *capfd.readouterr()

    return run
