"""`loopwire rewrite`: a mail's links lead by way of us, and it gets a pixel; the API signs them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import settings
from pipeline.cli import caller, charset
from pipeline.cli.api import Api, path
from pipeline.cli.mistakes import Mistake
from pipeline.cli.screen import Key, warn

app = typer.Typer()
STDIN = "-"
DOORS = ("/o/", "/c/", "/u/")
SHOWN_LEFT = 20

FileArgument = Annotated[str, typer.Argument(metavar="FILE.html", help="The mail; - is stdin.", show_default=False)]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; else to stdout.")]
Charset = Annotated[
    str | None,
    typer.Option(
        "--charset", help="How the file is written, where it neither says so nor is UTF-8: windows-1252, say."
    ),
]
UrlTexts = Annotated[
    bool,
    typer.Option(
        "--url-texts", help="Track links whose visible text is an address, too: mail clients may warn of them."
    ),
]


@app.command()
def rewrite(  # noqa: PLR0913, PLR0917 (the command's options)
    file: FileArgument,
    profile: Annotated[str, typer.Option(help="Who gets the mail.")],
    mailing: Annotated[str, typer.Option(help="What it is a mail of.")],
    message: Annotated[str | None, typer.Option(help="Your own id of this very mail.")] = None,
    output: Output = None,
    written_in: Charset = None,
    url_texts: UrlTexts = False,
    key: Key = "",
) -> None:
    """Puts tracking links and a pixel into a mail; every other byte stays as it was.

    Tracked is every absolute http(s) link of an a, an area or a VML element, in Outlook's conditional comments, too.
    Left alone are those that hold a placeholder ({{name}}, *|NAME|*, %name%, [unsubscribe]) and those whose visible
    text is an address. The pixel goes before the last </body>.
    """
    from pipeline.capture import rewrite as rules  # noqa: PLC0415

    mail = _read(file, written_in)
    plan = rules.plan(mail.text, rules.Wish(written=url_texts))
    asked = {"profile": profile, "mailing": mailing, "links": plan.urls} | ({"message": message} if message else {})
    links = Api(caller.account(settings.read(), key)).call("POST", path("track"), asked)
    ours = tuple(links["open"].partition("/o/")[0] + door for door in DOORS)
    clicks = {url: link for url, link in links["clicks"].items() if not url.startswith(ours)}
    _write(mail.encoded(rules.rewritten(mail.text, plan, clicks, links["open"])), output)
    for href, why in plan.left[:SHOWN_LEFT]:
        warn(f"left as it was: {href[:200]}: {why}")
    if len(plan.left) > SHOWN_LEFT:
        warn(f"and {len(plan.left) - SHOWN_LEFT} more")


def _read(file: str, given: str | None) -> charset.Text:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
        return charset.read(data, given)
    except OSError as wrong:
        raise Mistake(f"{file}: {wrong.strerror}") from wrong
    except LookupError as unknown:
        raise Mistake(f"--charset {given}: there is no such charset") from unknown


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as wrong:
        raise Mistake(f"--output {output}: {wrong.strerror}") from wrong
