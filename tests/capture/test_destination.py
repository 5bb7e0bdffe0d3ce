"""A link leads to an http(s) address that no browser can read in two ways."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.destination import MAX_BYTES, checked, location


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "http://shop.example/",
        "HTTPS://Shop.Example/Path",
        "https://shop.example:8443/a/b?c=d&e=%20f#g",
        "https://shop.example?q=1",
        "https://shop.example#top",
        "https://shop.example/?next=https://other.example/&mail=a@b.example",
        "https://shop.example/a|b<c>\"d'{e}^`",
        "https://shop.example./",
        "http://localhost:8080/",
        "http://my_shop.example/",
        "http://127.0.0.1/",
        "http://192.0.2.7:80/a",
        "http://[2001:db8::1]/",
        "http://[2001:db8::1]:8080/a",
        "https://xn--bcher-kva.example/",
        "https://shop.example//double//slashes",
        "https://shop.example/" + "a" * (MAX_BYTES - len("https://shop.example/")),
    ],
)
def test_an_ascii_address_is_taken_and_stays_as_it_is(url: str) -> None:
    assert checked(url) == url
    assert location(url) == url


@pytest.mark.parametrize(
    ("url", "ascii_url"),
    [
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example:8443/Ä?ö=ü#ß", "https://xn--bcher-kva.example:8443/%C3%84?%C3%B6=%C3%BC#%C3%9F"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("http://例え.テスト/パス", "http://xn--r8jz45g.xn--zckzah/%E3%83%91%E3%82%B9"),
        ("https://shop.example/café?a=b&c=%20", "https://shop.example/caf%C3%A9?a=b&c=%20"),
        ("https://shop.example/\U0001f600", "https://shop.example/%F0%9F%98%80"),
        ("https://a\u200bb.example/", "https://ab.example/"),
        ("https://bücher\u3002example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_an_international_address_is_taken_and_gets_its_ascii_form(url: str, ascii_url: str) -> None:
    assert checked(url) == url
    assert location(url) == ascii_url


SCHEME = "the address must begin with http:// or https://"
USER = "the address must not hold a user name or password"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", SCHEME),
        ("/", SCHEME),
        ("//evil.example/", SCHEME),
        ("///evil.example/", SCHEME),
        ("shop.example", SCHEME),
        ("https:shop.example", SCHEME),
        ("https:/shop.example", SCHEME),
        ("javascript:alert(1)", SCHEME),
        ("JavaScript://shop.example/%0aalert(1)", SCHEME),
        ("data:text/html,x", SCHEME),
        ("vbscript:x", SCHEME),
        ("file:///etc/passwd", SCHEME),
        ("ftp://shop.example/", SCHEME),
        ("mailto:a@b.example", SCHEME),
        ("intent://x#Intent;end", SCHEME),
        ("httpss://shop.example/", SCHEME),
        ("xhttps://shop.example/", SCHEME),
        ("https://user@evil.example/", USER),
        ("https://shop.example:pass@evil.example/", USER),
        ("https://shop.example:80@evil.example/", USER),
        ("https://@evil.example/", USER),
        ("https://", "the address has no host"),
        ("https:///evil.example", "the address has no host"),
        ("https://?q", "the address has no host"),
        ("https://:8080/", "the address has no host"),
        ("https://shop.example:/", "the address has no valid host and port: 'shop.example:'"),
        ("https://shop.example:0/", "the address has no valid host and port: 'shop.example:0'"),
        ("https://shop.example:65536/", "the address has no valid host and port: 'shop.example:65536'"),
        ("https://shop.example:+80/", "the address has no valid host and port: 'shop.example:+80'"),
        ("https://shop.example:8x/", "the address has no valid host and port: 'shop.example:8x'"),
        ("https://shop.example:\u0661/", "the address has no valid host and port: 'shop.example:\u0661'"),
        ("https://a:b:c/", "the address has no valid host and port: 'a:b:c'"),
        ("https://[::1", "the address has no valid host and port: '[::1'"),
        ("https://[::1]x/", "the address has no valid host and port: '[::1]x'"),
        ("https://[fe80::1%25eth0]/", "the address has no valid host and port: '[fe80::1%25eth0]'"),
        ("https://[]/", "'' is not an IP address"),
        ("https://[shop.example]/", "'shop.example' is not an IP address"),
        ("https://[::1::2]/", "'::1::2' is not an IP address"),
        ("https://256.1.1.1/", "'256.1.1.1' is not an IP address"),
        ("https://2130706433/", "'2130706433' is not an IP address"),
        ("https://0x7f.1/", "'0x7f.1' is not an IP address"),
        ("https://0x7f000001/", "'0x7f000001' is not an IP address"),
        ("https://1.2.3/", "'1.2.3' is not an IP address"),
        ("https://017.0.0.1/", "'017.0.0.1' is not an IP address"),
        ("https://./", "'.' is not the name of a host"),
        ("https://a..b/", "'a..b' is not the name of a host"),
        ("https://-a.example/", "'-a.example' is not the name of a host"),
        ("https://a-.example/", "'a-.example' is not the name of a host"),
        ("https://a%2eb.example/", "'a%2eb.example' is not the name of a host"),
        ("https://evil.example%00.shop.example/", "'evil.example%00.shop.example' is not the name of a host"),
        ("https://a,b/", "'a,b' is not the name of a host"),
        ("https://a;b/", "'a;b' is not the name of a host"),
        ("https://" + "a" * 64 + ".example/", repr(("a" * 64 + ".example")[:80]) + " is not the name of a host"),
        ("https://evil.example\uff0f.shop.example/", "'evil.example\uff0f.shop.example' is not the name of a host"),
        ("https://evil.example\uff1f.shop.example/", "'evil.example\uff1f.shop.example' is not the name of a host"),
        ("https://a\u202eb.example/", "'a\\u202eb.example' is not the name of a host"),
        ("https://shop.example/\r\nSet-Cookie: a=b", "the address must not hold '\\r'"),
        ("https://shop.example/\nx", "the address must not hold '\\n'"),
        ("https://shop.example\n", "the address must not hold '\\n'"),
        ("\nhttps://shop.example", "the address must not hold '\\n'"),
        ("java\tscript:x", "the address must not hold '\\t'"),
        (" https://shop.example/", "the address must not hold ' '"),
        ("https://shop.example/a b", "the address must not hold ' '"),
        ("https://shop.example/\0", "the address must not hold '\\x00'"),
        ("https://shop.example/\x7f", "the address must not hold '\\x7f'"),
        ("https://shop.example/\x85", "the address must not hold '\\x85'"),
        ("https://shop.example/\u2028", "the address must not hold '\\u2028'"),
        ("https://shop.example/\xa0", "the address must not hold '\\xa0'"),
        ("https://evil.example\\@shop.example/", "the address must not hold '\\\\'"),
        ("https:\\\\evil.example/", "the address must not hold '\\\\'"),
        ("https://shop.example\\.evil.example/", "the address must not hold '\\\\'"),
        ("https://shop.example/\ud800", "the address holds half of a character (a lone surrogate)"),
        ("https://shop.example/" + "a" * MAX_BYTES, "the address is longer than 4096 bytes"),
        ("https://shop.example/" + "é" * (MAX_BYTES // 2), "the address is longer than 4096 bytes"),
    ],
)
def test_no_link_leads_there(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checked(url)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        location(url)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "https://shop.example/", "https://shop.example"]))
def test_a_location_is_a_header_value_whatever_was_signed(text: str, start: str) -> None:
    try:
        there = location(start + text)
    except ValueError:
        return
    assert re.fullmatch(r"https?://[!-~]+", there, re.IGNORECASE)
