"""The line on a secured broker: each stage a process with a user of its own, and all that they say is kept."""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pipeline.local.broker import _until
from pipeline.settings import Settings
from tests.secured import SECONDS, Rule, Secured
from tests.story.lines import environment, ready, says_yes

ROOT = Path(__file__).parents[2]
NEWS = re.compile(r"^\S+ \S+ [DI] ")


class Said:
    """A command as its user starts it; what it says goes to a file."""

    def __init__(self, settings: Settings, words: str, out: Path) -> None:
        self.words = words
        self._out = out
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *words.split()],
                env=environment(settings), cwd=ROOT, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """All its lines."""
        return self._out.read_text()

    @property
    def lines(self) -> list[str]:
        """What is more than a stage's own news, the address and the time of each line left out."""
        told = [
            re.sub(r"^\S+ \S+ [A-Z] [\w.]+: ", "", line) for line in self.said.splitlines() if not NEWS.search(line)
        ]
        return [re.sub(r"^loopwire: kafka at \S+: |^console: kafka: ", "", line) for line in told]

    def end(self, seconds: float = SECONDS) -> int:
        """Its exit code, once it ended by itself."""
        return self.process.wait(seconds)


def _started(one: Said, at: str) -> bool:
    return one.process.poll() is not None or says_yes(at)


class Secure(NamedTuple):
    """The line's settings for each user, and a folder for what its processes say."""

    broker: Secured
    settings: Settings
    folder: Path

    @property
    def prefix(self) -> str:
        """Of its topics and groups."""
        return self.settings.topic_prefix

    def of(self, user: str, **other: str) -> Settings:
        """The settings with which that user connects."""
        return self.settings.model_copy(update={"kafka_config": self.broker.config(user, **other)})

    def run(self, words: str, user: str, **other: str) -> Said:
        """A command of that user's."""
        out = self.folder / f"{words.replace(' ', '-')}-{secrets.token_hex(4)}.said"
        return Said(self.of(user, **other), words, out)

    def without(self, user: str, operation: str, kind: str, name: str) -> AbstractContextManager[None]:
        """The user may not do that as long as the block runs."""
        return self.broker.without(user, self.prefix, Rule(operation, kind, name))

    def all_said(self) -> str:
        """What all processes said."""
        return "".join(file.read_text() for file in self.folder.glob("*.said"))


class SecureLine:
    """Some stages, each a process of the user that is named for it."""

    def __init__(self, secure: Secure, users: Mapping[str, str], **other: str) -> None:
        """Who runs each of the stages, with these `other` properties."""
        self.settings = secure.settings
        self.admin_key = secure.settings.admin_key
        self.running = {stage: secure.run(stage, user, **other) for stage, user in users.items()}

    def wait_ready(self) -> None:
        """Until all are; AssertionError where one ended."""
        for stage, one in self.running.items():
            assert _until(partial(_started, one, ready(self.settings, stage)), SECONDS), f"{stage} is not ready"
            assert one.process.poll() is None, one.said

    @property
    def refused(self) -> list[str]:
        """What stages said of what they may not do; a machine that is busy may make them say other things."""
        return [
            line
            for one in self.running.values()
            for line in one.lines
            if re.search("allow|authori", line, re.IGNORECASE)
        ]

    def until_said(self, stage: str, words: str) -> None:
        """Returns once the stage said it."""
        one = self.running[stage]
        assert _until(lambda: words in one.said, SECONDS), one.said

    def close(self) -> None:
        """Stops those that run; AssertionError where one does not end well."""
        for one in self.running.values():
            one.process.terminate()
        codes = {stage: one.process.wait(30) for stage, one in self.running.items()}
        assert codes == dict.fromkeys(codes, 0)

    def destroy(self) -> None:
        """kill -9 of what a test left."""
        for one in self.running.values():
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()


@contextmanager
def running(secure: Secure, users: Mapping[str, str], **other: str) -> Iterator[SecureLine]:
    """A line that is ready, as long as the block runs."""
    line = SecureLine(secure, users, **other)
    try:
        line.wait_ready()
        yield line
        line.close()
    finally:
        line.destroy()
