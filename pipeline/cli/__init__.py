"""The `loopwire` command. A user's mistake gets one line, exit code 1 (2 where it was mistyped), and no traceback."""

import errno
import logging
import sys
from io import TextIOWrapper
from typing import Any, NoReturn

import typer
from confluent_kafka import KafkaException

from pipeline import settings, topics
from pipeline.cli import (
    accounts,
    as_code,
    dead,
    hits,
    load,
    loop_keys,
    loops,
    mail,
    privacy,
    registry,
    replay,
    rewriting,
    stages,
    tail,
)
from pipeline.cli.mistakes import Mistake
from pipeline.cli.screen import warn
from pipeline.local.family import end_with_parent

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(stages.app)
app.add_typer(replay.app)
app.add_typer(rewriting.app)
loops.app.add_typer(as_code.app)
loops.app.add_typer(loop_keys.app)
# What typer raises of a command that was mistyped. It has no public name, and another home in each of its versions.
USAGE: type[Exception] = typer.BadParameter.__mro__[1]
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # of a disk; any other OSError that comes so far is a fault of ours
for name, commands in (
    ("accounts", accounts.app),
    ("profiles", load.profiles_app),
    ("mailings", load.mailings_app),
    ("hits", hits.app),
    ("mail", mail.app),
    ("privacy", privacy.app),
    ("loops", loops.app),
    ("dead", dead.app),
    ("tail", tail.app),
    ("topics", registry.topics_app),
    ("schemas", registry.schemas_app),
):
    app.add_typer(commands, name=name)


def main() -> None:
    """Runs the command; what the user can mend is told in one line."""
    end_with_parent()
    _spell()
    try:
        _log()
        code = app(prog_name="loopwire", standalone_mode=False)  # a mistake comes out, and is told as all others are
    except USAGE as wrong:
        _fail_usage(wrong)
    except typer.Abort:
        _fail("nothing was done")
    except (settings.SettingsError, topics.TopicError, Mistake) as wrong:
        _fail(str(wrong))
    except KafkaException as failed:
        _fail(f"kafka at {settings.read().bootstrap}: {_said(failed)}")
    except OSError as full:
        if full.errno not in FULL:
            raise
        _fail(f"{full.filename or 'what it says'} can't be written: {full.strerror}")
    raise SystemExit(code or 0)


def _spell() -> None:
    """What a terminal has no letter for is spelled out; a file or a pipe gets UTF-8, whatever the locale: JSON is."""
    if isinstance(sys.stdout, TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")


def _log() -> None:
    """To stderr. What no line names is not looked up: that is a third of a line's cost (logging's own HOWTO has it)."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 (as that HOWTO says)
    logging.basicConfig(level=_level(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s")


def _level() -> str:
    try:
        return settings.read().log
    except settings.SettingsError as wrong:
        if str(wrong).startswith("LOOPWIRE_LOG:"):
            raise
        return "INFO"  # the command says what is wrong, if it has use for settings


def _said(failed: KafkaException) -> str:
    error = failed.args[0]
    return str(error.str()) if hasattr(error, "str") else str(error)


def _fail_usage(wrong: Any) -> NoReturn:  # noqa: ANN401 (typer's, see USAGE)
    """A mistyped command is told in a line; one that was not said to its end shows its help, as typer made it."""
    told = str(wrong.format_message())
    if told.startswith("Usage: "):
        sys.stderr.write(told + "\n")
    else:
        where = wrong.ctx.command_path if wrong.ctx else "loopwire"
        warn(f"{where}: {' '.join(told.replace('Value error, ', '').split())} (`{where} --help` tells more)")
    raise SystemExit(wrong.exit_code)


def _fail(line: str) -> NoReturn:
    for told in f"loopwire: {line}".split("\n"):
        warn(told)
    raise SystemExit(1)
