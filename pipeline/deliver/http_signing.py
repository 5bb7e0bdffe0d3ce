"""The HTTP message signature as Copernica sends it, so that receivers written for Copernica keep working.

https://datatracker.ietf.org/doc/html/draft-cavage-http-signatures with rsa-sha256, and Digest (RFC 3230). What their
library needs: names in `headers` lower-case, `sha-256=` too, every parameter quoted, a Date that is fresh at each
attempt, a signed X-Nonce, and a TXT record without blanks after its semicolons and without padding.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SIGNED = ("(request-target)", "host", "date", "content-length", "content-type", "digest", "x-nonce", "webhook-id")
DEFAULT_PORTS = {"http": 80, "https": 443}
ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


def http_signature(
    url: str, headers: Mapping[str, str], body: bytes, key: tuple[str, str], now: datetime
) -> dict[str, str]:
    """The headers that sign the POST of a body; `headers` are what is sent already, `key` its DNS name and its PEM."""
    name, pem = key
    added = {
        "Host": host(url),
        "Date": format_datetime(now.replace(microsecond=0), usegmt=True),
        "Digest": f"sha-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}",
        "X-Nonce": _nonce(pem, headers, now),
    }
    known = {"(request-target)": f"post {_target(url)}", "content-length": str(len(body))}
    known |= {word.lower(): value for word, value in (dict(headers) | added).items()}
    text = "\n".join(f"{word}: {known[word]}" for word in SIGNED)
    signed = base64.b64encode(_key(pem).sign(text.encode(), PKCS1v15(), SHA256())).decode()
    value = f'keyId="{name}",algorithm="rsa-sha256",headers="{" ".join(SIGNED)}",signature="{signed}"'
    return added | {"Signature": value}


def host(url: str) -> str:
    """The Host header of a call: the port stands in it where it is not its scheme's own."""
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2]
    if parts.port is not None and parts.port == DEFAULT_PORTS.get(parts.scheme):
        return name.rpartition(":")[0]
    return name.removesuffix(":")


def _target(url: str) -> str:
    """What libcurl asks for: as it was typed, but for the hexadecimal of the path, which it writes in capitals."""
    parts = urlsplit(url)
    path = ESCAPE.sub(lambda escape: escape[0].upper(), parts.path or "/")
    return path + (f"?{parts.query}" if "?" in url else "")  # also where nothing follows


def txt(public: str) -> str:
    """The TXT record that makes a key known, as DKIM writes one (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1;k=rsa;p={public.rstrip('=')}"


def _nonce(pem: str, headers: Mapping[str, str], now: datetime) -> str:
    """Another one for each attempt, and nobody's to guess."""
    words = (pem, headers["webhook-id"], headers["loopwire-attempt"], now.isoformat())
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]


@lru_cache(1000)
def _key(pem: str) -> RSAPrivateKey:
    """Reading a key checks it, which takes longer than signing."""
    found = load_pem_private_key(pem.encode(), None)
    if not isinstance(found, RSAPrivateKey):
        raise TypeError("the key is not RSA")
    return found
