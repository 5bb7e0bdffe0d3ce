"""Pages are templates: everything in them is escaped, and each gets the layout's own words from here."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from pipeline.console.pages import sparkline
from pipeline.console.pages.assets import Assets
from pipeline.console.pages.visit import Visit

FOLDER = Path(__file__).parent.parent / "templates"


class Tab(NamedTuple):
    """A place in the navigation; `path` begins the path of all pages that are in it."""

    name: str
    path: str
    operators: bool = False


# A place is added here when its page is there.
NAVIGATION = (
    Tab("Loops", "/loops"),
    Tab("Live", "/watch"),
    Tab("Recipients", "/recipients"),
    Tab("Settings", "/settings"),
    Tab("System", "/system", operators=True),
)
LABELS = {
    "unregistered": "mailings that register nothing",
    "key_id": "DNS name of the key",
    "url": "address",
    "max_in_flight": "POSTs at once",
    "rate": "POSTs a second",
}
LOOP_TABS = (
    Tab("Overview", ""),
    Tab("Attempts", "/attempts"),
    Tab("Dead letters", "/dead"),
    Tab("Replays", "/replays"),
    Tab("History", "/history"),
    Tab("Settings", "/settings"),
)


class Views:
    """The templates, compiled at their first use."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            one.__name__: one for one in (moment, day, iso, named, share, duration, clock, instant, number)
        }
        self._environment.globals |= {
            "asset": assets.address,
            "navigation": NAVIGATION,
            "loop_tabs": LOOP_TABS,
            "points": sparkline.points,
        }

    def page(self, visit: Visit, template: str, status: int = 200, **shown: Any) -> Response:  # noqa: ANN401
        """The template as a page."""
        return HTMLResponse(self._environment.get_template(template).render(visit=visit, **shown), status)

    def part(self, template: str, macro: str, shown: object) -> str:
        """A macro of a template, as HTML."""
        return str(getattr(self._environment.get_template(template).module, macro)(shown))


def clock(time: datetime) -> str:
    """`19:04:11.250`, in UTC."""
    return f"{time.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def moment(time: datetime) -> str:
    """`24 Nov 2026, 19:04 UTC`."""
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def named(field: str) -> str:
    """A field of a form, as its page calls it."""
    return LABELS.get(field, field.replace("_", " "))


def day(time: datetime) -> str:
    """`24 Nov 2026`, in UTC."""
    return f"{time.day} {time:%b %Y}"


def iso(time: datetime) -> str:
    """RFC 3339, to the second: what `<time datetime>` wants."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def instant(time: datetime) -> str:
    """`24 Nov, 19:04:05.250`, in UTC: to the millisecond, so that attempts can be told apart."""
    return f"{time.day} {time:%b, %H:%M:%S}.{time.microsecond // 1000:03}"


def number(count: float) -> str:
    """`12,345`."""
    return f"{count:,.10g}"


def share(part: float | None) -> str:
    """`99.8 %`; never `100.0 %` of what isn't all."""
    return "–" if part is None else "100 %" if part == 1 else f"{min(part * 100, 99.9):.1f} %"  # noqa: RUF001


def duration(milliseconds: float | None) -> str:
    """`41 ms`, `1.2 s`."""
    if milliseconds is None:
        return "–"  # noqa: RUF001
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
