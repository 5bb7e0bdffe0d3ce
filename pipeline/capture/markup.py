"""Where the links of a mail stand, and where its body ends, by position: nothing is built, so nothing can change.

The HTML standard's tokenizer (13.2.5) as far as it decides where a tag begins, ends and has its attributes. Unlike
a browser it also looks into Outlook's conditional comments, since Outlook shows what is in them. Every pattern is
possessive, or atomic where a group is repeated, and every position is passed once, so the time is linear in whatever is
sent. (A possessive group ends in the wrong place in Python 3.11.0 to 3.11.4, cpython 106052: Debian 12 has 3.11.2.)
"""

import re
from functools import cache
from html import unescape
from html.entities import html5
from typing import NamedTuple

# Only these are white space to the standard; \s would take a no-break space for the end of a name.
_SPACE = r"[\t\n\f\r ]"
_VALUE = rf"{_SPACE}*+={_SPACE}*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\t\n\f\r >]++)"
# A quote that nothing closes keeps the tag open to the end of the mail.
_ATTRIBUTE = rf"[^\t\n\f\r />][^\t\n\f\r />=]*+(?:{_VALUE}|(?!{_SPACE}*+={_SPACE}*+[\"']))"
_ATTRIBUTES = rf"(?>(?:[\t\n\f\r /]++|{_ATTRIBUTE})*)"
_START = re.compile(rf"<([A-Za-z][^\t\n\f\r />]*+)({_ATTRIBUTES})>")
_END = re.compile(rf"</([A-Za-z][^\t\n\f\r />]*+){_ATTRIBUTES}>")

_NAMED = re.compile(
    rf"([^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rf"(?>(?:{_SPACE}*+={_SPACE}*+(?:\"([^\"]*+)\"|'([^']*+)'|(?![\"'])([^\t\n\f\r >]++)))?)"
)
_CONDITION = re.compile(r"<!--\s*\[if[^\]]*+\]>", re.IGNORECASE)
_COMMENT_END = re.compile(r"--!?>")
_COMMENT = re.compile(r"<!--.*?(?:--!?>|\Z)", re.DOTALL)
_MARKUP = re.compile(rf"</?[A-Za-z](?:{_ATTRIBUTES}>|[\s\S]*+)|<[!?/][^>]*+(?:>|\Z)")
# What stands in these is text, whatever it looks like (13.2.6.4.4 and following; scripts never run in a mail).
_TEXT_ONLY = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
}
# What nothing has to be done about: text, and tags with other names than ours. Most of a mail is passed by this alone.
_OURS = "|".join(
    "".join(f"[{letter}{letter.upper()}]" for letter in name) + rf"(?:{_SPACE}|[/>])"
    for name in ("a", "area", *_TEXT_ONLY, "/body")
)
_PLAIN = re.compile(rf"(?>(?:[^<]++|<(?![A-Za-z/!?])|<(?!{_OURS}|[vV]:)/?[A-Za-z]{_ATTRIBUTES}>)*)")
# In an attribute `&copy=2` and `&copyright` are no references (13.2.5.73): most links are written without `&amp;`.
_REFERENCE = re.compile(r"&(?:#(?:[0-9]++|[xX][0-9A-Fa-f]++);?|([A-Za-z][A-Za-z0-9]*+)(;?))")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


class Anchor(NamedTuple):
    """A link as written: the value of its `href` stands at [start, end), without quotes.

    `href` is that value with its character references resolved. The content of the element `name` begins at `content`
    and ends before `limit`.
    """

    start: int
    end: int
    href: str
    name: str
    content: int
    limit: int


class Markup(NamedTuple):
    """All links in their order, and where the last `</body>` begins: the end of the text where there is none."""

    anchors: list[Anchor]
    body_end: int


def read(html: str) -> Markup:
    """The links are every `a`, `area` and VML element (`v:roundrect`) with an `href`, outside of real comments."""
    anchors: list[Anchor] = []
    body = _scan(html, 0, len(html), anchors, shown=True)
    return Markup(anchors, len(html) if body is None else body)


def _scan(html: str, at: int, limit: int, anchors: list[Anchor], *, shown: bool) -> int | None:
    """Appends what is found in [at, limit); where the last `</body>` there begins. `shown`: to all, not to Outlook."""
    body = None
    while True:
        plain = _PLAIN.match(html, at, limit)
        at = plain.end() if plain else at
        if at >= limit:
            return body
        if tag := _START.match(html, at, limit):
            name = tag[1].lower()
            at = tag.end()
            if name in _TEXT_ONLY:
                closing = _TEXT_ONLY[name].search(html, at, limit)
                at = closing.start() if closing else limit
            elif name in {"a", "area"} or name.startswith("v:"):
                _take(html, tag, name, limit, anchors)
        elif tag := _END.match(html, at, limit):
            body = at if tag[1].lower() == "body" else body
            at = tag.end()
        else:
            at = _after(html, at, limit, anchors) if shown else _after_noise(html, at, limit)


def _after(html: str, at: int, limit: int, anchors: list[Anchor]) -> int:
    """Where to go on behind a `<` that begins no tag."""
    return _after_comment(html, at, limit, anchors) if html.startswith("<!--", at) else _after_noise(html, at, limit)


def _after_noise(html: str, at: int, limit: int) -> int:
    following = html[at + 1 : at + 2]
    if following.isascii() and following.isalpha():
        return limit  # a tag without its end: a browser shows nothing of what follows
    if following and following in "!?/":
        closing = html.find(">", at, limit)
        return limit if closing < 0 else closing + 1
    return at + 1


def _after_comment(html: str, at: int, limit: int, anchors: list[Anchor]) -> int:
    if html.startswith((">", "->"), at + 4):
        return at + 5
    closing = _COMMENT_END.search(html, at + 4, limit)
    stop, after = (closing.start(), closing.end()) if closing else (limit, limit)
    if condition := _CONDITION.match(html, at, stop):
        _scan(html, condition.end(), stop, anchors, shown=False)
    return after


def _take(html: str, tag: re.Match[str], name: str, limit: int, anchors: list[Anchor]) -> None:
    for attribute in _NAMED.finditer(html, *tag.span(2)):
        if attribute[1].lower() == "href":  # the first of its name counts
            group = next((number for number in (2, 3, 4) if attribute[number] is not None), None)
            if group is not None:
                start, end = attribute.span(group)
                anchors.append(Anchor(start, end, _resolved(html[start:end]), name, tag.end(), limit))
            return


def text_of(anchor: Anchor, html: str) -> str:
    """What a reader sees of the link: no tags, no comments, one line; nothing of an area."""
    if anchor.name == "area":
        return ""
    at, limit = anchor.content, anchor.limit
    closing = _closing(anchor.name)
    stop = at
    while found := closing.search(html, stop, limit):
        stop = found.end()
        if not found[0].startswith("<!--"):
            stop = found.start()
            break
    else:
        stop = limit
    shown = html[at:stop]
    if "<" in shown:
        shown = _MARKUP.sub("", _COMMENT.sub("", shown))
    if "&" in shown:
        shown = unescape(shown)
    if not shown.isascii():
        shown = _INVISIBLE.sub("", shown)
    return "".join(line.strip() for line in shown.split("\n"))


@cache
def _closing(name: str) -> re.Pattern[str]:
    """The end of an element, or the beginning of the next one of its name; or a comment, which hides either."""
    return re.compile(rf"<!--.*?(?:--!?>|\Z)|</?{re.escape(name)}(?=[\t\n\f\r />])", re.IGNORECASE | re.DOTALL)


def _resolved(value: str) -> str:
    return _REFERENCE.sub(_reference, value) if "&" in value else value


def _reference(found: re.Match[str]) -> str:
    name, semicolon = found[1], found[2]
    if name is None:
        return unescape(found[0])
    if not semicolon and found.string[found.end() : found.end() + 1] == "=":
        return found[0]
    return html5.get(name + semicolon, found[0])
