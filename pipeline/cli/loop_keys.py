"""`loopwire loops keys`: the public keys of a loop's signatures, and the TXT record that makes one known."""

import typer

from pipeline import settings
from pipeline.cli import caller
from pipeline.cli.api import Api, path
from pipeline.cli.loops import LoopId
from pipeline.cli.screen import AsJson, Key, say, say_json, warn

app = typer.Typer()

LONGEST = 255  # of one string; a record has several, which whoever reads it puts together (RFC 1035 section 3.3.14)


@app.command()
def keys(loop: LoopId, key: Key = "", as_json: AsJson = False) -> None:
    """The public keys of `v1a` and `http`; of the latter the TXT record to be published, and at which name."""
    found = Api(caller.account(settings.read(), key)).call("GET", path("loops", loop))["public_keys"]
    if as_json:
        say_json(found)
        return
    if not found:
        warn("the loop signs by its secret alone: `signatures` of v1a or http have keys")
    for one in found:
        until = f" until {one['signs_until']}" if one["signs_until"] else ""
        say(f"{one['kind']}  signs from {one['signs_from']}{until}")
        say(f"  {one['name']}. TXT {_strings(one['txt'])}" if one["txt"] else f"  {one['public']}")


def _strings(text: str) -> str:
    """As a zone file has it."""
    return " ".join(f'"{text[first : first + LONGEST]}"' for first in range(0, len(text), LONGEST))
