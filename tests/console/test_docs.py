"""The docs page is whole, needs nothing from elsewhere, and every link leads somewhere."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import requests

from pipeline.console import docs
from pipeline.console.examples import EXAMPLES
from pipeline.console.problems import KINDS
from tests.console.running import running

VOID = {"meta"}


class Page(HTMLParser):
    """What a browser finds: tags that match, what has an id, where links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.tags.add(tag)
        known = {name: value or "" for name, value in attrs}
        self.attributes |= set(known)
        self.ids += [known["id"]] if "id" in known else []
        self.links |= {known["href"]} if "href" in known else set()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def answer() -> Iterator[requests.Response]:
    with running() as console:
        yield console.call("GET", "/docs")


def test_the_page_is_html_and_may_load_nothing(answer: requests.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_is_whole_and_every_link_leads_somewhere(answer: requests.Response) -> None:
    page = Page(answer.text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not page.tags & {"script", "img", "link", "iframe"}
    assert not page.attributes & {"style", "src", "onclick"}  # the policy would refuse them


def test_every_call_and_problem_has_its_place(answer: requests.Response) -> None:
    ids = set(Page(answer.text).ids)
    assert {docs.anchor(call) for call in EXAMPLES} <= ids
    assert {f"problem-{kind}" for kind in KINDS} <= ids


def test_the_page_fits_day_and_night(answer: requests.Response) -> None:
    assert "prefers-color-scheme: dark" in answer.text
    assert len(re.findall("<style>", answer.text)) == 1


def test_what_is_said_in_an_example_is_text(answer: requests.Response) -> None:
    text = docs.page(
        {
            "info": {"title": "<b>", "version": "1", "description": "a `<i>` & b"},
            "tags": [{"name": "T", "description": "</p>"}],
            "paths": {"/x": {"get": {"tags": ["T"], "description": "<u>", "responses": {"200": _content("</pre>")}}}},
            "components": {"schemas": {"S": {"description": "<s>", "properties": {"<n>": {"default": "<d>"}}}}},
        }
    )
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"b", "i", "u", "s", "n", "d"}
    assert "a <code>&lt;i&gt;</code> &amp; b" in text


def _content(example: str) -> dict[str, object]:
    return {"content": {"text/<x>": {"schema": {"type": "<t>"}, "example": example}}}
