"""The docs page: the OpenAPI document for people, as one page of HTML that needs nothing but itself."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from pipeline.console.openapi import calls
from pipeline.console.problems import KINDS
from pipeline.console.style import STYLE

Json = dict[str, Any]

# CSP 3: the one style is allowed by its hash; there is nothing else to be loaded, and nobody may frame the page.
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page(document: Json) -> str:
    """The whole page."""
    info, tags = document["info"], [(tag, _of(document, tag["name"])) for tag in document["tags"]]
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            _navigation(tags),
            f"<main>\n<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
            *(f"<p>{_prose(part)}</p>" for part in info["description"].strip().split("\n\n")),
            *(_section(tag, operations) for tag, operations in tags),
            _shapes(document["components"]["schemas"]),
            _problems(),
            "</main>\n</body>\n</html>\n",
        )
    )


def anchor(call: str) -> str:
    """`post-v1-loops-loop-verify`: where a call stands on the page."""
    return re.sub("[^a-z0-9]+", "-", call.lower()).strip("-")


def _of(document: Json, tag: str) -> list[tuple[str, Json]]:
    return [(call, operation) for call, operation in calls(document) if tag in operation["tags"]]


def _navigation(tags: list[tuple[Json, list[tuple[str, Json]]]]) -> str:
    parts = [_entry(tag["name"], (_link(call) for call, _ in operations)) for tag, operations in tags]
    more = '<ul><li><a href="#shapes">Shapes</a></li><li><a href="#problems">Problems</a></li>'
    return f'<nav>\n{"".join(parts)}{more}<li><a href="/openapi.json">openapi.json</a></li></ul>\n</nav>'


def _entry(name: str, links: Iterable[str]) -> str:
    items = "".join(f"<li>{link}</li>" for link in links)
    return f'<a href="#{anchor(name)}">{escape(name)}</a>\n<ul>{items}</ul>\n'


def _link(call: str) -> str:
    method, path = call.split(" ")
    return f'<a href="#{anchor(call)}"><span class="method">{method}</span> <code>{escape(path)}</code></a>'


def _section(tag: Json, operations: list[tuple[str, Json]]) -> str:
    articles = "\n".join(_article(call, operation) for call, operation in operations)
    return f'<h2 id="{anchor(tag["name"])}">{escape(tag["name"])}</h2>\n<p>{_prose(tag["description"])}</p>\n{articles}'


def _article(call: str, operation: Json) -> str:
    parts = [f'<article id="{anchor(call)}">\n<h3>{_link(call)}</h3>\n<p>{_prose(operation["description"])}</p>']
    parts += _table("Parameters", (_parameter(one) for one in operation.get("parameters", ())))
    parts += _contents("Body", operation.get("requestBody", {}))
    for status, response in sorted(operation["responses"].items()):
        if status < "300":
            parts += _contents(f"Answer: {status}", response) or [f"<h4>Answer: {status}, without a body</h4>"]
    parts.append(f"<h4>Problems</h4>\n<p>{', '.join(_problem_links(operation['responses']))}</p>\n</article>")
    return "\n".join(parts)


def _parameter(parameter: Json) -> tuple[str, ...]:
    name, schema = parameter["name"], parameter["schema"]
    needed = "" if parameter["required"] else ", may be absent"
    return f"<code>{escape(name)}</code>", f"{parameter['in']}{needed}", _type(schema), _notes(parameter | schema)


def _contents(title: str, holder: Json) -> list[str]:
    parts = []
    for media, content in holder.get("content", {}).items():
        parts.append(f"<h4>{title}, {escape(media)}: {_type(content['schema'])}</h4>")
        if (example := content.get("example")) is not None:
            text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
            parts.append(f"<pre>{escape(text)}</pre>")
    return parts


def _problem_links(responses: Json) -> list[str]:
    media = [content for response in responses.values() for content in response.get("content", {}).values()]
    return [f'<a href="#problem-{kind}">{kind}</a>' for content in media for kind in content.get("examples", ())]


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return [f"<h4>{title}</h4>", "<table>", *lines, "</table>"] if lines else []


def _shapes(schemas: Json) -> str:
    parts = ['<h2 id="shapes">Shapes</h2>\n<p>What is not named here is refused in a body.</p>']
    for name, schema in sorted(schemas.items()):
        parts.append(f'<article id="shape-{name}">\n<h3><a href="#shape-{name}">{name}</a></h3>')
        parts.append(f"<p>{_prose(schema.get('description', ''))}</p>")
        required = schema.get("required", ())
        fields = schema.get("properties", {}).items()
        parts += _table("Names", (_field(field, one, needed=field in required) for field, one in fields))
        parts.append("</article>")
    return "\n".join(parts)


def _field(name: str, schema: Json, *, needed: bool) -> tuple[str, ...]:
    return f"<code>{escape(name)}</code>", "" if needed else "may be absent", _type(schema), _notes(schema)


def _problems() -> str:
    rows = [
        f'<tr id="problem-{kind}"><td>{status}</td><td><code>urn:loopwire:problem:{kind}</code></td>'
        f"<td>{escape(title)}</td></tr>"
        for kind, (status, title) in KINDS.items()
    ]
    return '<h2 id="problems">Problems</h2>\n<table>\n' + "\n".join(rows) + "\n</table>"


def _type(schema: Json) -> str:
    """A schema in a word or two, with a link to the shape it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("format", schema.get("type", "anything"))))


def _notes(schema: Json) -> str:
    """What else is known of a value: what it means, its bounds, its default."""
    words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "maxLength": "at most"}
    words |= {"maxItems": "at most", "maxProperties": "at most"}
    units = {"maxLength": " characters", "maxItems": " items", "maxProperties": " names"}
    bounds = {name: value for one in (schema, *schema.get("anyOf", ())) for name, value in one.items() if name in words}
    notes = [_prose(schema["description"])] if "description" in schema else []
    notes += [f"{words[name]} {value:,.0f}{units.get(name, '')}" for name, value in bounds.items()]
    if schema.get("default") is not None:
        notes.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    return "; ".join(notes)


def _prose(text: str) -> str:
    """Text as HTML, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
