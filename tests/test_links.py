"""Who signs by himself makes the links that the API would make."""

import base64
import re

import pytest

from pipeline.capture.tokens import Link, read, signing_key
from pipeline.links import Mail, Sender

MASTER = {"k1": b"k" * 32}
KID, KEY = signing_key(MASTER, "shop")
WRITTEN = f"{KID}:{base64.b64encode(KEY).decode()}"
BASE = "https://t.example.com"


def mail(message: str | None = "spring-sale.jane") -> Mail:
    return Sender.of("shop", WRITTEN, BASE + "/").mail("jane", "spring-sale", message)


def test_the_links_of_a_mail_say_whose_it_is() -> None:
    link, made = Link("shop", "jane", "spring-sale", "spring-sale.jane"), mail()
    assert read(made.open.removeprefix(f"{BASE}/o/").removesuffix(".gif"), MASTER, "open") == link
    assert read(made.unsubscribe.removeprefix(f"{BASE}/u/"), MASTER, "unsubscribe") == link
    click = made.click("https://shop.example/spring").removeprefix(f"{BASE}/c/")
    assert read(click, MASTER, "click") == link._replace(url="https://shop.example/spring")


def test_the_headers_are_those_of_one_click() -> None:
    made = mail(None)
    assert made.headers == {
        "List-Unsubscribe": f"<{made.unsubscribe}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


@pytest.mark.parametrize("key", ["", KID, f"{KID}:", f"{KID}:YQ==", f"{KID}:!{'a' * 43}", WRITTEN[3:], f"a b:{KEY!r}"])
def test_a_key_is_as_the_command_prints_it(key: str) -> None:
    with pytest.raises(ValueError, match=r"^the key must be as `loopwire accounts key` prints it: kid:base64"):
        Sender.of("shop", key, BASE)


@pytest.mark.parametrize("base", ["", "t.example.com", "javascript:x", "https://t example.com", "https://t\n.example"])
def test_links_lead_to_a_web_address(base: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{base!r} is no base of links")):
        Sender.of("shop", WRITTEN, base)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", "https://a@evil.example", "https://a/\r\nx: y"]
)
def test_no_link_leads_where_no_link_may(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the address must "):
        mail().click(url)


def test_another_account_s_name_makes_links_that_nobody_takes() -> None:
    forged = Sender.of("rival", WRITTEN, BASE).mail("jane", "spring-sale")
    assert read(forged.unsubscribe.removeprefix(f"{BASE}/u/"), MASTER, "unsubscribe") is None
