"""`loopwire rewrite`: bytes in, the same bytes out but for the links."""

from pathlib import Path

import pytest

from pipeline.capture.rewrite import PIXEL
from pipeline.cli import charset
from tests.cli.conftest import KEY, Loopwire
from tests.cli.running import Answer, Api, Call

BASE = "https://t.example.com"


def tracked(call: Call) -> Answer:
    clicks = {url: f"{BASE}/c/{number}" for number, url in enumerate(call.json["links"])}
    return Answer(200, {"open": f"{BASE}/o/T.gif", "clicks": clicks, "unsubscribe": f"{BASE}/u/T"})


@pytest.fixture
def api(served: Api) -> Api:
    served.always["POST /v1/track"] = tracked
    return served


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16-le", "iso-2022-jp"])
def test_every_other_byte_is_as_it_was(name: str, api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    word = "日本" if name == "iso-2022-jp" else "caf\xe9"
    mark = "\ufeff" if name == "utf-16-le" else ""
    text = (
        f'{mark}<meta charset="{name}">\r\n\t{word}\r<a href="https://shop.example/{word}?a=1&amp;b">{word}</a>\r\n'
        "</body>\n<!-- x -->"
    )
    (tmp_path / "mail.html").write_bytes(text.encode(name))
    target = tmp_path / "out.html"
    done = loopwire("rewrite", tmp_path / "mail.html", "--profile", "p", "--mailing", "m", "-o", target)
    assert done == (0, "", "")
    [call] = api.calls
    assert call.json == {"profile": "p", "mailing": "m", "links": [f"https://shop.example/{word}?a=1&b"]}
    assert call.key == KEY
    expected = text.replace(f"https://shop.example/{word}?a=1&amp;b", f"{BASE}/c/0")
    expected = expected.replace("</body>", PIXEL.format(f"{BASE}/o/T.gif") + "</body>")
    assert target.read_bytes() == expected.encode(name)


def test_bytes_of_no_charset_stay_too(api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    mail = b"\xff\xfe\xfd\x80<a href='https://shop.example/\xe9'>x</a>\xc3<a href='https://shop.example/'>\x81</a>"
    (tmp_path / "mail.html").write_bytes(b"x" + mail)
    target = tmp_path / "out.html"
    code, _, err = loopwire("rewrite", tmp_path / "mail.html", "--profile", "p", "--mailing", "m", "--output", target)
    after = mail.replace(b"https://shop.example/'", f"{BASE}/c/0'".encode())
    assert (code, target.read_bytes()) == (0, b"x" + after + PIXEL.format(f"{BASE}/o/T.gif").encode())
    assert err == (
        "left as it was: https://shop.example/\\udce9: the address holds half of a character (a lone surrogate)\n"
    )
    given = ("--charset", "windows-1252")
    (tmp_path / "mail.html").write_bytes(b"<a href='https://shop.example/\xe9'>\x80</a>")
    assert loopwire("rewrite", tmp_path / "mail.html", "--profile", "p", "--mailing", "m", "-o", target, *given)[0] == 0
    assert api.calls[-1].json["links"] == ["https://shop.example/é"]


def test_it_goes_to_stdout_with_its_message(api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text("a\r\n<a href='https://shop.example/'>https://shop.example</a>", newline="")
    wish = ("rewrite", tmp_path / "mail.html", "--profile", "p", "--mailing", "m", "--message", "x@1")
    assert loopwire(*wish)[:2] == (
        0,
        "a\r\n<a href='https://shop.example/'>https://shop.example</a>" + PIXEL.format(f"{BASE}/o/T.gif"),
    )
    assert api.calls[-1].json == {"profile": "p", "mailing": "m", "message": "x@1", "links": []}
    assert loopwire(*wish, "--url-texts")[1].startswith("a\r\n<a href='https://t.example.com/c/0'>")


def test_links_of_ours_stay(api: Api, loopwire: Loopwire, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text(f"<a href='{BASE}/u/T'>leave</a>")
    _, out, _ = loopwire("rewrite", tmp_path / "mail.html", "--profile", "p", "--mailing", "m")
    assert out.startswith(f"<a href='{BASE}/u/T'>leave</a>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{folder}/none.html",), "loopwire: {folder}/none.html: No such file or directory\n"),
        (("{folder}",), "loopwire: {folder}: Is a directory\n"),
        (("{folder}/a", "--charset", "x"), "loopwire: --charset x: there is no such charset\n"),
        (("{folder}/a", "-o", "{folder}"), "loopwire: --output {folder}: Is a directory\n"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    words: tuple[str, ...], message: str, api: Api, loopwire: Loopwire, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    given = [word.format(folder=tmp_path) for word in words]
    assert loopwire("rewrite", *given, "--profile", "p", "--mailing", "m") == (1, "", message.format(folder=tmp_path))
    assert len(api.calls) == ("-o" in words)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "utf-8"),
        (b"\xff\xfea\0", "utf-16-le"),
        (b"\xfe\xff\0a", "utf-16-be"),
        (b"<meta charset=iso-8859-1>\xe9", "iso-8859-1"),
        (b"<META http-equiv=Content-Type content='text/html; charset=windows-1252'>\x80", "windows-1252"),
        (b"<meta charset=no-such>\xc3\xa9", "utf-8"),
        (b"<meta charset=ascii>\xc3\xa9", "utf-8"),
        (b"<meta charset=rot13>a", "utf-8"),
        (b"<meta charset=hex>a", "utf-8"),
        (b" " * 1024 + b"<meta charset=iso-8859-1>", "utf-8"),
    ],
)
def test_a_charset_is_told_by_the_file(data: bytes, name: str) -> None:
    text = charset.read(data)
    assert (text.charset, text.encoded(text.text)) == (name, data)
