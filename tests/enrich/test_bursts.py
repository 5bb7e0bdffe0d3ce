"""Bursts: many links of one mail at once, told by the hits' own times and the same whenever they are read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.bursts import KEPT_MS, LINKS, SIGNAL, THINNED, WINDOW_MS, Bursts

Hit = tuple[int, str, str | None]  # at, message, url
NOW = 1_774_000_000_000


def _signals(hits: list[Hit], bursts: Bursts | None = None) -> list[bool]:
    bursts = bursts or Bursts()
    found = [bursts.signals(NOW + at, (message,), url) for at, message, url in hits]
    assert set(found) <= {(), (SIGNAL,)}
    return [bool(one) for one in found]


@pytest.mark.parametrize(
    ("why", "hits", "burst"),
    [
        ("one click", [(0, "m", "a")], [False]),
        ("a link clicked over and over", [(n * 10, "m", "a") for n in range(5)], [False] * 5),
        ("two links: a slip of the finger", [(0, "m", "a"), (300, "m", "b"), (500, "m", "a")], [False] * 3),
        ("three links", [(0, "m", "a"), (5, "m", "b"), (9, "m", "c")], [False, False, True]),
        ("and those after", [(n * 5, "m", link) for n, link in enumerate("abcdea")], [False, False] + [True] * 4),
        ("just within", [(0, "m", "a"), (0, "m", "b"), (WINDOW_MS, "m", "c")], [False, False, True]),
        ("just not", [(0, "m", "a"), (0, "m", "b"), (WINDOW_MS + 1, "m", "c")], [False] * 3),
        ("one much later", [(0, "m", "a"), (0, "m", "b"), (9, "m", "c"), (5000, "m", "d")], [0, 0, 1, 0]),
        ("a person who reads", [(n * 1500, "m", link) for n, link in enumerate("abcdef")], [False] * 6),
        ("three mails", [(0, "m", "a"), (5, "n", "b"), (9, "o", "c")], [False] * 3),
        ("opens are no links", [(0, "m", None), (5, "m", None), (9, "m", None), (10, "m", "a")], [False] * 4),
        ("out of order", [(9, "m", "c"), (0, "m", "a"), (5, "m", "b")], [False, False, True]),
        ("a late one", [(0, "m", "a"), (KEPT_MS, "n", "x"), (1, "m", "b"), (2, "m", "c")], [False, False, False, True]),
        ("too late", [(0, "m", "a"), (KEPT_MS + 1, "n", None), (1, "m", "b"), (2, "m", "c")], [False] * 4),
    ],
)  # fmt: skip
def test_three_links_of_a_mail_within_two_seconds_are_a_burst(why: str, hits: list[Hit], burst: list[bool]) -> None:
    assert _signals(hits) == burst


STEPS = st.integers(-3_000, 6_000) | st.integers(0, 900) | st.integers(-40_000, 40_000)
URLS = st.sampled_from(["a", "b", "c", "d", None])


@st.composite
def _partitions(draw: st.DrawFn) -> list[Hit]:
    """Hits more or less in order, a few far out of it."""
    at, hits = 0, []
    for step in draw(st.lists(STEPS, max_size=60)):
        at += step
        hits.append((at, draw(st.sampled_from("mn")), draw(URLS)))
    return hits


def _slowly(hits: list[Hit]) -> list[bool]:
    """The rule as it is said: the hits that were not forgotten, each link's latest time, two seconds."""
    answers = []
    for here, (at, message, url) in enumerate(hits):
        links: dict[str, int] = {}
        for place in range(here + 1):
            then, whose, link = hits[place]
            remembered = all(later <= then + KEPT_MS for later, _, _ in hits[place + 1 : here + 1])
            if whose == message and link is not None and remembered:
                links[link] = max(then, links.get(link, then))
        others = [link for link, then in links.items() if link != url and abs(then - at) <= WINDOW_MS]
        answers.append(url is not None and len(others) >= LINKS - 1)
    return answers


@given(_partitions())
def test_the_answers_are_those_of_the_rule(hits: list[Hit]) -> None:
    assert _signals(hits) == _slowly(hits)


@given(_partitions(), st.data())
def test_read_again_from_early_enough_the_answers_are_the_same(hits: list[Hit], data: st.DataObject) -> None:
    if not hits:
        return
    wanted = data.draw(st.integers(0, len(hits) - 1))
    enough = next(place for place, (at, _, _) in enumerate(hits) if at >= hits[wanted][0] - KEPT_MS)
    begin = data.draw(st.integers(0, enough))
    assert _signals(hits[begin:])[wanted - begin :] == _signals(hits)[wanted:]


def test_what_is_past_is_forgotten() -> None:
    bursts = Bursts()
    for n in range(50_000):
        bursts.signals(NOW + n * 10, n, f"link {n % 3}")
        assert len(bursts) <= 2 * (KEPT_MS // 10) + 3
    bursts.signals(NOW + 50_000 * 10 + KEPT_MS, "another", None)
    assert len(bursts) == 1


def test_a_click_of_a_clock_that_was_ahead_does_not_keep_what_comes_after_it() -> None:
    bursts = Bursts()
    bursts.signals(NOW + 3_600_000, "ahead", "a")
    for n in range(50_000):
        bursts.signals(NOW + n * 10, n, "a")
        assert len(bursts) <= 2 * (KEPT_MS // 10) + 10
    last = [bursts.signals(NOW + 50_000 * 10, "m", link) for link in "abc"]
    assert last == [(), (), (SIGNAL,)]


def test_hits_that_come_the_latest_first_are_not_all_kept() -> None:
    bursts = Bursts()
    for n in range(50_000):
        bursts.signals(NOW - n, "m", "a")
        assert len(bursts) <= THINNED + 2


def test_a_link_that_is_hammered_is_one_link() -> None:
    bursts = Bursts()
    assert not any(bursts.signals(NOW, "m", "a") for _ in range(10_000))
    assert len(bursts) == 2
