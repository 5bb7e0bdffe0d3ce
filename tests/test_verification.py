"""Where the verification file may stand, and what counts as the file."""

import pytest

from pipeline import verification
from pipeline.outbound import Answer
from pipeline.verification import Look

FILE = "loopwire-x.txt"


@pytest.mark.parametrize(
    ("url", "places"),
    [
        (
            "https://shop.example/hooks/in.php",
            ["https://shop.example/hooks/loopwire-x.txt", "https://shop.example/loopwire-x.txt"],
        ),
        (
            "http://shop.example:8080/a/b/?q=/c/d",
            ["http://shop.example:8080/a/b/loopwire-x.txt", "http://shop.example:8080/loopwire-x.txt"],
        ),
        ("https://shop.example/in.php", ["https://shop.example/loopwire-x.txt"]),
        ("https://shop.example/", ["https://shop.example/loopwire-x.txt"]),
        ("https://shop.example", ["https://shop.example/loopwire-x.txt"]),
        ("https://shop.example?to=/a/b", ["https://shop.example/loopwire-x.txt"]),
        ("http://[::1]:9000/in", ["http://[::1]:9000/loopwire-x.txt"]),
        (
            "https://shop.example/a%2Fb/in",
            ["https://shop.example/a%2Fb/loopwire-x.txt", "https://shop.example/loopwire-x.txt"],
        ),
    ],
)
def test_the_file_stands_beside_the_script_or_in_the_web_root(url: str, places: list[str]) -> None:
    assert verification.places(url, FILE) == places


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (Answer(200, b"the content"), None),
        (Answer(200, b"\r\n  the content \n\t"), None),
        (Answer(200, b"the content" + b" " * 4085), None),
        (Answer(200, b"the content" + b" " * 4086), "is larger than 4096 bytes"),
        (Answer(200, b"The content"), "has another content"),
        (Answer(200, b"the content."), "has another content"),
        (Answer(200, b"<html>the content</html>"), "has another content"),
        (Answer(200, b"\xff\xfe"), "has another content"),
        (Answer(200, b" \n"), "is empty"),
        (Answer(404, b"the content"), "answered 404"),
        (Answer(500, b"the content"), "answered 500"),
        (Answer(203, b"the content"), "answered 203"),
        (Answer(302, b"the content"), "answered 302, a redirect, which is not followed"),
        (Answer(None, b"", "Operation timed out"), "Operation timed out"),
        (Answer(200, b"the content", "transfer closed"), "transfer closed"),
    ],
)
def test_only_the_exact_content_proves_anything(answer: Answer, wrong: str | None) -> None:
    assert verification.judge(answer, "the content") == wrong


def test_the_reason_names_each_place() -> None:
    looks = [
        Look("https://a/x", Answer(404, b"no"), "answered 404"),
        Look("https://a/y", Answer(200, b"\xffx" * 100), "has another content"),
        Look("https://a/z", Answer(error="timed out"), "timed out"),
    ]
    assert verification.reason(looks) == (
        "https://a/x: answered 404; https://a/y: has another content; https://a/z: timed out"
    )
    assert [verification.report(look) for look in looks] == [
        {"url": "https://a/x", "status": 404, "error": "answered 404"},
        {"url": "https://a/y", "status": 200, "error": "has another content", "body": "�x" * 50},
        {"url": "https://a/z", "error": "timed out"},
    ]
