"""A person or a machine, and with what: the tail that an open or a click gets."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.reader import LONGEST, Readers
from pipeline.model.events import Event
from tests.examples import raw

HERE = Path(__file__).parent
PEOPLE: list[dict[str, Any]] = yaml.safe_load((HERE / "people.yaml").read_text())
SCANNERS: dict[str, list[str]] = yaml.safe_load((HERE / "scanners.yaml").read_text())
READERS = Readers()
HOME, SAFELINKS = "198.51.100.7", "40.94.102.17"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
FOX = {"client": "Firefox 140", "system": "Windows 10", "device": "desktop"}


def _said(tail: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(b"{%s}" % tail.removeprefix(b","))
    return said


@pytest.mark.parametrize("row", PEOPLE, ids=lambda row: row["agent"][:60])
def test_a_person_is_told_with_client_system_and_device(row: dict[str, Any]) -> None:
    told = zip(("client", "system", "device"), row["told"], strict=True)
    known = {name: value for name, value in told if value is not None}
    assert _said(READERS.tail(row["agent"], "GET", HOME)) == {"machine": False, **known}


@pytest.mark.parametrize(("signal", "agent"), [(signal, one) for signal, agents in SCANNERS.items() for one in agents])
def test_a_machine_is_told_by_its_signal(signal: str, agent: str) -> None:
    said = _said(READERS.tail(agent, "GET", HOME))
    client = {"google-image-proxy": "Gmail", "gmail-prefetch": "Gmail", "yahoo-mail-proxy": "Yahoo Mail",
              "apple-mail-privacy": "Apple Mail"}.get(signal)  # fmt: skip
    assert said == {"machine": True, "signals": [signal]} | ({"client": client} if client else {})


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(PEOPLE) >= 60
    assert sum(map(len, SCANNERS.values())) >= 50


@pytest.mark.parametrize(
    ("agent", "method", "ip", "seen", "said"),
    [
        (FIREFOX, "GET", HOME, (), {"machine": False, **FOX}),
        (FIREFOX, None, None, (), {"machine": False, **FOX}),
        (FIREFOX, "HEAD", HOME, (), {"machine": True, "signals": ["head-request"], **FOX}),
        (FIREFOX, "GET", SAFELINKS, (), {"machine": True, "signals": ["scanner-microsoft"], **FOX}),
        (FIREFOX, "GET", "40.94.102.0", (), {"machine": True, "signals": ["scanner-microsoft"], **FOX}),
        (FIREFOX, "GET", HOME, ("many-links-at-once",), {"machine": True, "signals": ["many-links-at-once"], **FOX}),
        (FIREFOX, "HEAD", SAFELINKS, ("many-links-at-once",),
         {"machine": True, "signals": ["head-request", "scanner-microsoft", "many-links-at-once"], **FOX}),
        (None, "GET", HOME, (), {"machine": True, "signals": ["no-user-agent"]}),
        (None, "HEAD", None, (), {"machine": True, "signals": ["no-user-agent", "head-request"]}),
        ("Barracuda", "GET", "209.222.82.17", (), {"machine": True, "signals": ["scanner-barracuda"]}),
        ("Mozilla/5.0", "GET", HOME, (), {"machine": True, "signals": ["apple-mail-privacy"], "client": "Apple Mail"}),
        ("Something of ours", "GET", HOME, (), {"machine": False}),
    ],
)  # fmt: skip
def test_what_says_so_is_listed_once_and_all_of_it(
    agent: str | None, method: str | None, ip: str | None, seen: tuple[str, ...], said: dict[str, Any]
) -> None:
    assert _said(READERS.tail(agent, method, ip, seen)) == said


PIECES = [
    "Mozilla/5.0 (",
    "iPhone; ",
    "Android 99",
    "; K)",
    " OS 18_",
    "Version/26",
    "\u0663.1",
    "\0",
    " Mobile/1A ",
    "Safari",
]
AGENTS = st.one_of(
    st.none(),
    st.text(max_size=2 * LONGEST),
    st.sampled_from([row["agent"] for row in PEOPLE]),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


@given(AGENTS, st.sampled_from(["GET", "HEAD", None, "TRACE"]), st.one_of(st.none(), st.ip_addresses().map(str)))
def test_whatever_comes_the_tail_makes_an_event(agent: str | None, method: str | None, ip: str | None) -> None:
    tail = READERS.tail(agent, method, ip)
    hit = raw("hit.v1", "open").rstrip()
    event = msgspec.json.decode(hit[:-1] + tail + b"}", type=Event)
    assert event.machine is bool(event.signals)
    assert (method == "HEAD") == ("head-request" in (event.signals or []))
    assert event.device in (None, "desktop", "phone", "tablet", "television", "console")
    assert READERS.tail(agent, method, ip) is tail


def test_of_an_endless_agent_the_beginning_is_read() -> None:
    assert READERS.tail(FIREFOX.ljust(LONGEST) + "GoogleImageProxy", "GET", HOME) == READERS.tail(FIREFOX, "GET", HOME)
