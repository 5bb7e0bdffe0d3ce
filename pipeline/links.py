"""A sender makes his own tracking links, without a server: a key, and 100,000 of them a second.

    sender = Sender.of("shop", "k1:3q2+7wAA...", "https://t.example.com")    # `loopwire accounts key shop`
    mail = sender.mail("jane", "spring-sale", "spring-sale.jane")
    mail.open, mail.click("https://shop.example/spring"), mail.unsubscribe, mail.headers

The key is the account's own and can sign for no other. Links stay good as long as the installation has the key of
this kid in LOOPWIRE_TOKEN_KEYS, the first there or not.
"""

import base64
import binascii
import re
from typing import NamedTuple

from pipeline.capture.tokens import Kind, Link, sign

KEY_BYTES = 32
_KEY = re.compile(r"([A-Za-z0-9_-]{1,16}):(\S+)\Z", re.ASCII)
_BASE = re.compile(r"https?://[!-~]+\Z", re.IGNORECASE)


class Mail(NamedTuple):
    """The links of one mail. ValueError where an id, or an address, can't be used."""

    sender: "Sender"
    link: Link

    @property
    def open(self) -> str:
        """The address of the pixel."""
        return f"{self.sender.base}/o/{self._token(self.link, 'open')}.gif"

    @property
    def unsubscribe(self) -> str:
        """The way out: a page with one button for a GET, and done at once by a POST (RFC 8058)."""
        return f"{self.sender.base}/u/{self._token(self.link, 'unsubscribe')}"

    @property
    def headers(self) -> dict[str, str]:
        """The mail's headers that give its reader a button (RFC 2369, RFC 8058). DKIM has to sign both."""
        return {"List-Unsubscribe": f"<{self.unsubscribe}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}

    def click(self, url: str) -> str:
        """A link that leads to `url` by way of us."""
        return f"{self.sender.base}/c/{self._token(self.link._replace(url=url), 'click')}"

    def _token(self, link: Link, kind: Kind) -> str:
        return sign(link, kind, self.sender.kid, self.sender.key)


class Sender(NamedTuple):
    """An account that signs by itself: `key` is its own, 32 bytes; `base` is where links lead, without a last slash."""

    account: str
    kid: str
    key: bytes
    base: str

    @classmethod
    def of(cls, account: str, key: str, base: str) -> "Sender":
        """With the key as `loopwire accounts key` prints it; ValueError says what is wrong with what was given."""
        parts = _KEY.match(key.strip())
        try:
            secret = base64.b64decode(parts[2], validate=True) if parts else b""
        except binascii.Error:
            secret = b""
        if parts is None or len(secret) != KEY_BYTES:
            raise ValueError("the key must be as `loopwire accounts key` prints it: kid:base64 of 32 bytes")
        if not _BASE.match(base):
            raise ValueError(f"{base[:80]!r} is no base of links: it begins with https:// or http://")
        return cls(account, parts[1], secret, base.rstrip("/"))

    def mail(self, profile: str, mailing: str, message: str | None = None) -> Mail:
        """The mail that one person gets of a mailing; `message` is the sender's own id of it."""
        return Mail(self, Link(self.account, profile, mailing, message))
