"""A mail's links are led by way of us, and it gets a pixel; every other character stays as it was.

`plan` says what is to change, `rewritten` does it: between them somebody signs the links. Left alone is what is no
absolute http(s) address (mailto:, tel:, #anchors, relative links), what still holds a placeholder that a mail system
fills in later, and, unless it is asked for, a link whose visible text is itself an address: a mail client that sees
another address behind it calls the mail a fraud.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from pipeline.capture.destination import MAX_BYTES, checked
from pipeline.capture.markup import Anchor, read, text_of

_WEB = re.compile(r"https?:", re.IGNORECASE)
_AUTHORITY = re.compile(r"https?://[^/?#\\]*", re.IGNORECASE)
_CONTROLS = "".join(map(chr, range(33)))
# What browsers encode and `checked` refuses: white space and control characters.
_UNSPELLED = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_PLACEHOLDER = re.compile(
    r"[{}]|<%"  # {{name}}, {name}, {$name}, ${name}, {%...%}, <%...%>: no address has these unencoded
    r"|\*\|[^|]{0,200}\|\*"  # *|NAME|*
    r"|%[A-Za-z_][\w.:-]{0,200}%(?![0-9A-Fa-f]{2})"  # %name%, %%name%%, and not %C3%A9
    r"|\[\[[^\]]{0,200}\]\]"  # [[name]]
    r"|\[[\w %$.:-]{0,100}unsub[\w %$.:-]{0,100}\]",  # [unsubscribe]; other names in brackets are PHP's lists
    re.IGNORECASE | re.ASCII,
)
_WRITTEN = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_HOST = re.compile(r"([\w-]+(?:\.[\w-]+)+)(?:[:/?#]\S*)?")
_AROUND = "<>()[]\"'.,;:!\u201c\u201d\u2018\u2019\u00ab\u00bb"

PIXEL = '<img src="{}" width="1" height="1" alt="" style="width:1px;height:1px;border:0">'


class Wish(NamedTuple):
    """`bases` are where tracking links lead, which are left alone; `written`: links whose text is an address, too."""

    bases: tuple[str, ...] = ()
    written: bool = False


class Spot(NamedTuple):
    """[start, end) is to become a link by way of us that leads to `url`."""

    start: int
    end: int
    url: str


class Untold(NamedTuple):
    """A web link that can't be tracked, and why not."""

    href: str
    why: str


class Plan(NamedTuple):
    """What is to change: the spots in their order, and where the pixel goes."""

    spots: list[Spot]
    pixel_at: int
    left: list[Untold]

    @property
    def urls(self) -> list[str]:
        """Where the links lead, each once."""
        return list(dict.fromkeys(spot.url for spot in self.spots))


def plan(html: str, wish: Wish = Wish()) -> Plan:  # noqa: B008 (frozen)
    """What is to be done to a mail of HTML. Raises nothing, whatever it is."""
    markup = read(html)
    spots: list[Spot] = []
    left: list[Untold] = []
    for anchor in markup.anchors:
        url = _spelled(anchor.href)
        if not _is_wanted(anchor, url, wish) or (not wish.written and _is_address(text_of(anchor, html), url)):
            continue
        try:
            spots.append(Spot(anchor.start, anchor.end, checked(url)))
        except ValueError as wrong:
            left.append(Untold(anchor.href, str(wrong)))
    return Plan(spots, markup.body_end, left)


def rewritten(html: str, what: Plan, clicks: Mapping[str, str], pixel: str) -> str:
    """The mail with what was planned; `clicks` has the link for each of `what.urls`. One that it lacks stays."""
    links = {url: escape(link) for url, link in clicks.items()}
    edits = [(spot.start, spot.end, links[spot.url]) for spot in what.spots if spot.url in links]
    edits.append((what.pixel_at, what.pixel_at, PIXEL.format(escape(pixel))))
    pieces: list[str] = []
    at = 0
    for start, end, text in sorted(edits):
        pieces += html[at:start], text
        at = end
    return "".join([*pieces, html[at:]])


def _is_wanted(anchor: Anchor, url: str, wish: Wish) -> bool:
    if not _WEB.match(url) or _PLACEHOLDER.search(anchor.href, 0, MAX_BYTES):
        return False
    return not url.startswith(tuple(f"{base}/{door}/" for base in wish.bases for door in "ocu"))


def _is_address(text: str, url: str) -> bool:
    """Whether what the reader sees is itself an address: `https://...`, `www....`, or the link's own host."""
    word = text.strip(_AROUND)
    if _WRITTEN.fullmatch(word):
        return True
    shown, there = _HOST.fullmatch(word), _AUTHORITY.match(url)
    if shown is None or there is None:
        return False
    return _bare(shown[1]) == _bare(there[0].partition("//")[2].partition(":")[0])


def _bare(host: str) -> str:
    return host.lower().removeprefix("www.")


def _spelled(href: str) -> str:
    """The address as a browser takes it from an attribute (URL standard, 4.4): trimmed, on one line, spaces encoded."""
    url = href.strip(_CONTROLS).replace("\t", "").replace("\n", "").replace("\r", "")
    there = _AUTHORITY.match(url)
    if there is None:
        return url
    return there[0] + _UNSPELLED.sub(lambda found: quote(found[0], errors="replace"), url[there.end() :])
