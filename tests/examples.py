"""The examples of schemas/examples/, which are the tests' data and the docs'."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "schemas" / "examples"


def raw(contract: str, name: str) -> bytes:
    """One example as it stands in its file."""
    return (FOLDER / contract / f"{name}.json").read_bytes()


def example(contract: str, name: str) -> dict[str, Any]:
    """One example, parsed."""
    parsed: dict[str, Any] = json.loads(raw(contract, name))
    return parsed
