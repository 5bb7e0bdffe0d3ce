"""What a user agent tells of its reader: the client, the system, the device. What it does not tell is left out.

The parser is uap-core's, by its Rust matcher, which takes linear time whatever is sent. Of its three sets of rules the
two for clients and systems are loaded; the set for devices names makes and models, which nobody asked for, and is
most of its weight. What sort of device it is stands in the agent in plain words.
"""

import re
from re import IGNORECASE

from ua_parser import OS, Domain, UserAgent
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

# Mail clients and apps that the parser takes for a browser, or for nothing.
APPS = (
    # A bare WebKit, as pictures in Apple's Mail are fetched; apps that show web pages add a name of their own.
    (
        re.compile(
            r"^Mozilla/5\.0 \((iPhone|iPad|iPod|Macintosh)[^)]*\) AppleWebKit/[\d.]+"
            r"( \(KHTML, like Gecko\))?( Mobile/\w+)?( \(\d+\))?$"
        ),
        "Apple Mail",
    ),
    (re.compile(r"^Mail/\d.* CFNetwork/"), "Apple Mail"),
    (re.compile(r"ms-office|MacOutlook/|^Outlook-(iOS|Android)/|OutlookMobile", IGNORECASE), "Outlook"),
    (re.compile(r"YahooMobileMail/"), "Yahoo Mail"),
    (re.compile(r"\beM Client/"), "eM Client"),
    (re.compile(r"\bMailbird/"), "Mailbird"),
    (re.compile(r"\bEvolution/"), "Evolution"),
    (re.compile(r"\bLinkedInApp\b"), "LinkedIn"),
)
# The parser's names for one client's several builds, and for what is a part of others.
NAMES: dict[str, str | None] = {
    "Mobile Safari": "Safari",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Opera Mobile": "Opera",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Google": "Google app",
    "Apple Mail": None,  # any WebKit without a name; ours above is stricter
    "Mobile Safari UI/WKWebView": None,
    "Android": None,  # Dalvik: a system, not a client
    "Other": None,
}
SYSTEMS = {"Mac OS X": "macOS", "Web0S": "webOS"}
# Systems whose number is frozen in agents, or is one of a build.
UNNUMBERED = {"Chrome OS", "Tizen", "webOS", "Linux", "Ubuntu", "Fedora", "Debian"}
DEVICES = (
    (
        "television",
        re.compile(r"\b(Smart-?TV|AppleTV|Apple TV|Android TV|GoogleTV|BRAVIA|CrKey|Roku|(?-i:AFT[A-Z]))", IGNORECASE),
    ),
    ("console", re.compile(r"PlayStation|Xbox|Nintendo")),
    (
        "tablet",
        re.compile(r"iPad|Tablet(?! PC)|PlayBook|Android(?!.*\bMobile\b)(?=.*AppleWebKit)", IGNORECASE),
    ),
    ("phone", re.compile(r"iPhone|iPod|\bMobile\b|Phone|Android|BlackBerry|KAIOS", IGNORECASE)),
    ("desktop", re.compile(r"Windows|Macintosh|Mac OS X|X11|CrOS|Linux|Darwin")),
)


class Agents:
    """Reads user agents; takes half a second to make, and some 50 us for an agent."""

    def __init__(self) -> None:
        clients, systems, _ = load_builtins()
        self._parse = Resolver((clients, systems, []))

    def told(self, useragent: str) -> dict[str, str]:
        """What is known of `client` ("Firefox 140"), `system` ("Windows 10") and `device` ("phone")."""
        found = self._parse(useragent, Domain.USER_AGENT | Domain.OS)
        told = {
            "client": _client(useragent, found.user_agent),
            "system": _system(useragent, found.os, found.user_agent),
            "device": next((name for name, pattern in DEVICES if pattern.search(useragent)), None),
        }
        return {name: value for name, value in told.items() if value is not None}


def _client(useragent: str, found: UserAgent | None) -> str | None:
    app = next((name for pattern, name in APPS if pattern.search(useragent)), None)
    if app is not None or found is None:
        return app
    name = NAMES.get(found.family, found.family)
    # Outlook's are years, and everything since 2016 says 2016.
    return name and _numbered(name, None if found.family == "Outlook" else found.major)


def _system(useragent: str, found: OS | None, client: UserAgent | None) -> str | None:
    if found is None or found.family == "Other":
        return None
    name = SYSTEMS.get(found.family, found.family)
    number = found.major
    if name == "macOS" and found.minor is not None:
        # Every macOS since 10.15 calls itself that, and every browser's reduced agent does.
        number = None if (number, found.minor) == ("10", "15") else f"{number}.{found.minor}"
    elif name == "Windows" and found.minor is not None:
        number = f"{number}.{found.minor}"
    elif name == "Android" and ("Android 10; K)" in useragent or "Outlook-Android" in useragent):
        number = None  # Chrome's reduced agent is an Android 10 whatever it runs on; Outlook's number is its own
    elif name == "iOS" and number and client and client.family == "Mobile Safari" and client.major:
        number = str(max(int(number), int(client.major)))  # Safari's number is its system's, which it froze at 18
    return _numbered(name, None if name in UNNUMBERED else number)


def _numbered(name: str, number: str | None) -> str:
    return f"{name} {number}" if number else name
