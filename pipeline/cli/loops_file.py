"""Loops as a file: a YAML list, one entry a loop, known by its name; and what has to be done so that it is true."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from pipeline.cli.mistakes import Mistake
from pipeline.console.forms import LoopForm
from pipeline.console.problems import wrongs

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
COMPARED = (
    "url",
    "events",
    "format",
    "filter",
    "fields",
    "rate",
    "max_in_flight",
    "batch",
    "ordered",
    "signatures",
    "key_id",
)
UNORDERED = frozenset({"signatures", "events", "fields", "mailings", "tags", "exclude_origins"})
Loop = Mapping[str, Any]  # as the API shows it


class Difference(NamedTuple):
    """A field, by its path, as it is and as it is wanted."""

    field: str
    old: object
    new: object


class Change(NamedTuple):
    """What is sent for a loop that is there; `differences` is what it changes."""

    loop: Loop
    body: dict[str, Any]
    differences: list[Difference]


class Plan(NamedTuple):
    """All that has to be done. `absent` are there, and not in the file."""

    create: list[dict[str, Any]]
    change: list[Change]
    unchanged: list[Loop]
    absent: list[Loop]


def read(text: str, file: str, environment: Mapping[str, str]) -> list[LoopForm]:
    """The entries of a file; Mistake names file, entry and field of all that is wrong."""
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        said = " ".join(str(getattr(wrong, "problem", None) or wrong).split())
        raise Mistake(f"{file}{place}: is not YAML: {said}") from wrong
    if not isinstance(entries, list):
        raise Mistake(f"{file}: must be a list of loops, each with name, url and events")
    forms, told = list[LoopForm](), list[str]()
    for number, entry in enumerate(entries, 1):
        try:
            forms.append(_form(entry, environment))
        except ValueError as wrong:
            told += [f"{file}: {_called(number, entry)}: {line}" for line in _lines(wrong)]
    twice = [name for name, count in Counter(form.name for form in forms).items() if count > 1]
    told += [f"{file}: {name}: is there twice: a loop is known by its name" for name in twice]
    if told:
        raise Mistake("\n".join(told))
    return forms


def plan(wanted: Sequence[LoopForm], there: Sequence[Loop], *, update_headers: bool) -> Plan:
    """What the file asks for, against the loops that are there. Mistake where a name is two loops'."""
    known: dict[str, Loop] = {}
    for loop in there:
        if loop["name"] in known and any(form.name == loop["name"] for form in wanted):
            raise Mistake(f"there are two loops called {loop['name']}: {known[loop['name']]['id']} and {loop['id']}")
        known[loop["name"]] = loop
    names = {form.name for form in wanted}
    made = Plan([], [], [], [loop for loop in there if loop["name"] not in names])
    for form in wanted:
        if form.name not in known:
            made.create.append(_body(form))
            continue
        change = _change(form, known[form.name], update_headers)
        if change.differences:
            made.change.append(change)
        else:
            made.unchanged.append(change.loop)
    return made


def drawn(made: Plan, *, prune: bool) -> list[str]:
    """The plan as a diff, a line each."""
    lines = []
    for body in made.create:
        lines += [f"+ {body['name']}", *(f"    {name}: {_word(value)}" for name, value in _told(body))]
    for change in made.change:
        lines.append(f"~ {change.loop['name']}  ({change.loop['id']})")
        lines += [f"    {one.field}: {_word(one.old)} -> {_word(one.new)}" for one in change.differences]
    lines += [f"= {loop['name']}  ({loop['id']})" for loop in made.unchanged]
    removed = "- {}  ({})  is removed" if prune else "? {}  ({})  is not in the file, and stays (--prune removes it)"
    return lines + [removed.format(loop["name"], loop["id"]) for loop in made.absent]


def written(loops: Iterable[Loop]) -> str:
    """A file of loops that are there; values of headers are names of the environment, since they are never shown."""
    entries = [_entry(loop) for loop in loops]
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=10_000) if entries else "[]\n"


def _form(entry: object, environment: Mapping[str, str]) -> LoopForm:
    if not isinstance(entry, dict):
        raise ValueError("must be a mapping with name, url and events")  # noqa: TRY004 (told like all that is wrong)
    headers = entry.get("headers")
    if isinstance(headers, dict):
        values = {name: _filled(str(name), value, environment) for name, value in headers.items()}
        entry = entry | {"headers": values}
    return LoopForm.model_validate(entry)


def _filled(name: str, value: object, environment: Mapping[str, str]) -> object:
    if not isinstance(value, str):
        return value
    missing = [word for word in _VARIABLE.findall(value) if word not in environment]
    if missing:
        raise ValueError(f"headers.{name}: {missing[0]} is not set in the environment")
    return _VARIABLE.sub(lambda found: environment[found[1]], value)


def _lines(wrong: ValueError) -> list[str]:
    """Never with what was given: a header's value is a secret."""
    if not isinstance(wrong, ValidationError):
        return [str(wrong)]
    return [f"{one.where}: {one.what}".removeprefix(": ") for one in wrongs(wrong.errors())]


def _called(number: int, entry: object) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"loop {number} ({name})" if isinstance(name, str) else f"loop {number}"


def _body(form: LoopForm) -> dict[str, Any]:
    """As the API takes it: all that is not as it would be anyway."""
    return form.model_dump(exclude_defaults=True)


def _change(form: LoopForm, loop: Loop, update_headers: bool) -> Change:
    wanted = form.model_dump(include=set(COMPARED))
    body, differences = dict[str, Any](), list[Difference]()
    for name in COMPARED:
        found = _differences(name, loop.get(name, [] if name == "signatures" else None), wanted[name])
        if found:
            body[name] = wanted[name]
            differences += found
    old, new = list(loop.get("headers") or ()), list(form.headers or ())
    if sorted(map(str.lower, old)) != sorted(map(str.lower, new)):
        differences.append(Difference("headers", old, new))
        body["headers"] = form.headers
    elif update_headers and new:
        differences.append(Difference("headers", "what they are", f"new values of {', '.join(new)}"))
        body["headers"] = form.headers
    return Change(loop, body, differences)


def _differences(name: str, old: object, new: object) -> list[Difference]:
    if isinstance(new, dict) and isinstance(old, Mapping):
        return [one for key in new for one in _differences(f"{name}.{key}", old.get(key), new[key])]
    if name.rpartition(".")[2] in UNORDERED and isinstance(old, list) and isinstance(new, list):
        return [] if sorted(old) == sorted(new) else [Difference(name, old, new)]
    return [] if old == new else [Difference(name, old, new)]


def _told(body: Mapping[str, Any]) -> list[tuple[str, object]]:
    """A new loop's fields; of headers the names."""
    return [
        (name, list(body[name]) if name == "headers" else body[name]) for name in (*COMPARED, "headers") if name in body
    ]


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_word(one)}" for name, one in value.items())
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _entry(loop: Loop) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": loop["name"], "url": loop["url"], "events": loop["events"]}
    if loop["format"] != "form":
        entry["format"] = loop["format"]
    chosen = {name: value for name, value in loop["filter"].items() if value not in ([], True)}
    if chosen:
        entry["filter"] = chosen
    entry |= {
        name: loop[name]
        for name in ("fields", "rate", "max_in_flight", "batch", "key_id")
        if loop.get(name) is not None
    }
    entry |= {name: loop[name] for name in ("ordered", "signatures") if loop.get(name)}
    if loop.get("headers"):
        entry["headers"] = {name: f"${{{_variable(loop['name'], name)}}}" for name in loop["headers"]}
    return entry


def _variable(loop: str, header: str) -> str:
    word = re.sub(r"[^A-Z0-9]+", "_", f"{loop}_{header}".upper()).strip("_")
    return word if word[:1].isalpha() else f"LOOP_{word}"
