"""What people type is checked value by value, and the message says what is wrong with it."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.console import values
from pipeline.model.ids import EPOCH


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks/in.php?a=1&b[]=2",
        "http://shop.example",
        "HTTPS://Shop.Example:443/",
        "http://shop.example:80/x",
        "http://127.0.0.1:9000/a%20b",
        "http://[::1]:8080/",
        "http://my_service:1024/",
        "https://xn--bcher-kva.example./",
        "https://shop.example/a@b",
    ],
)
def test_a_good_url_stays_as_it_was_typed(url: str) -> None:
    assert values.loop_url(url) == url


CHARACTER = "has a character that no URL may have (a host in punycode, the rest percent-encoded)"
HOST = "has no host that can be called"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with https:// or http://"),
        ("shop.example/in", "must begin with https:// or http://"),
        ("ftp://shop.example/", "must begin with https:// or http://"),
        ("javascript:alert(1)", "must begin with https:// or http://"),
        ("https://", HOST),
        ("https:///in", HOST),
        ("https://:8080/in", HOST),
        ("https://shop..example/in", HOST),
        ("https://a,b/", HOST),
        ("https://[fe80::1%25eth0]/", HOST),
        ("https://[::g]/", "is not a URL"),
        ("https://user:secret@shop.example/in", "has credentials in it: use headers for them"),
        ("https://user@shop.example/in", "has credentials in it: use headers for them"),
        ("https://@shop.example/in", "has credentials in it: use headers for them"),
        ("https://shop.example/in#top", "has a fragment, which no server would get"),
        ("https://shop.example/in#", "has a fragment, which no server would get"),
        ("https://shop.example:25/in", "has port 25: 80, 443 and those above 1023 may be called"),
        ("https://shop.example:0/in", "has port 0: 80, 443 and those above 1023 may be called"),
        ("https://shop.example:65536/in", "has a port that is none"),
        ("https://shop.example:http/in", "has a port that is none"),
        ("https://shop.example/a b", CHARACTER),
        ("https://shop.example/a\nb", CHARACTER),
        ("https://shop.example\\@evil.example/", CHARACTER),
        ("https://bücher.example/", CHARACTER),
        ("https://shop.example/%zz", CHARACTER),
        ("https://shop.example/" + "a" * 2048, "is longer than 2048 characters"),
    ],
)
def test_a_bad_url_is_refused(url: str, message: str) -> None:
    assert _refusal(values.loop_url, url) == message


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Authorization": "Basic dXNlcjpwYXNz", "X-Shop": "a\tb c"}, None),
        ({}, None),
        ({"Host": "x"}, "'Host' is a header that we set"),
        ({"content-type": "x"}, "'content-type' is a header that we set"),
        ({"Content-Length": "1"}, "'Content-Length' is a header that we set"),
        ({"Transfer-Encoding": "chunked"}, "'Transfer-Encoding' is a header that we set"),
        ({"Connection": "close"}, "'Connection' is a header that we set"),
        ({"User-Agent": "x"}, "'User-Agent' is a header that we set"),
        ({"Webhook-Id": "x"}, "'Webhook-Id' is a header that we set"),
        ({"LOOPWIRE-x": "x"}, "'LOOPWIRE-x' is a header that we set"),
        ({"": "x"}, "'' is not a header's name"),
        ({"a b": "x"}, "'a b' is not a header's name"),
        ({"a:": "x"}, "'a:' is not a header's name"),
        ({"a\r\nb": "x"}, "'a\\r\\nb' is not a header's name"),
        ({"X": "secret\r\ny: z"}, "'X' has a value that no header may have (printable ASCII, no line break)"),
        ({"X": "secret\n"}, "'X' has a value that no header may have (printable ASCII, no line break)"),
        ({"X": ""}, "'X' has a value that no header may have (printable ASCII, no line break)"),
        ({"X": "é"}, "'X' has a value that no header may have (printable ASCII, no line break)"),
        ({"X-A": "1", "x-a": "2"}, "'x-a' is there twice"),
        ({"X": "a" * 8192}, "are larger than 8192 bytes"),
    ],
)
def test_own_headers_are_headers_and_not_ours(headers: dict[str, str], message: str | None) -> None:
    assert _refusal(values.custom_headers, headers) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jan@example.com", None),
        ("jan+tag@exämple.com", None),
        ("jan", "must be an e-mail address with one @"),
        ("@example.com", "must be an e-mail address with one @"),
        ("jan@", "must be an e-mail address with one @"),
        ("a@b@c", "must be an e-mail address with one @"),
        ("jan @example.com", "must be an e-mail address without spaces or control characters"),
        ("jan@example.com\n", "must be an e-mail address without spaces or control characters"),
        ("jan@\x00example.com", "must be an e-mail address without spaces or control characters"),
        ("j" * 310 + "@example.com", "must be an e-mail address of 320 characters at most"),
    ],
)
def test_an_address_is_plausible(text: str, message: str | None) -> None:
    assert _refusal(values.email, text) == message


@pytest.mark.parametrize(("depth", "message"), [(16, None), (17, "is nested more than 16 deep")])
def test_fields_are_no_well(depth: int, message: str | None) -> None:
    assert _refusal(values.shallow, _well(depth)) == message


@pytest.mark.parametrize(("text", "message"), [("Shop № 1", None), (" ", "see"), ("a\nb", "see"), ("", "see")])
def test_a_name_can_be_seen(text: str, message: str | None) -> None:
    expected = message and "must have a character that can be seen, and none that can't be printed"
    assert _refusal(values.label, text) == expected


def test_nothing_is_there_twice() -> None:
    assert values.distinct(["open", "click"]) == ["open", "click"]
    assert _refusal(values.distinct, ["open", "click", "open"]) == "has open twice"


def _well(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def _refusal(check: Callable[[Any], Any], value: object) -> str | None:
    try:
        assert check(value) == value
    except ValueError as wrong:
        return str(wrong)
    return None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1970-01-01T00:30:00+01:00", "must not be before 1970"),
        ("1969-12-31T23:59:59.999Z", "must not be before 1970"),
        ("0001-01-01T00:00:00Z", "must not be before 1970"),
        ("0001-01-01T00:00:00+01:00", "is outside of all time"),
    ],
)
def test_a_time_is_one_that_kafka_knows(text: str, message: str) -> None:
    assert values.moment("1970-01-01T01:00:00+01:00") == EPOCH
    assert _refusal(values.moment, text) == message
