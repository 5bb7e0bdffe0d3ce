"""Code that verifies our signature, for customers to copy: real files, each run by a test."""

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent.parent / "snippets"
FILES = {"Python": "verify.py", "PHP": "verify.php", "JavaScript": "verify.mjs", "Go": "verify.go"}


class Snippet(NamedTuple):
    """The code in one language."""

    language: str
    file: str
    code: str


def every() -> list[Snippet]:
    """All of them, in the order they are shown."""
    return [Snippet(language, name, (FOLDER / name).read_text().strip()) for language, name in FILES.items()]
