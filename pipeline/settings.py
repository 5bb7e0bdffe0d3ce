"""The environment, read once: every setting has its name, its default and its meaning here."""

import base64
import binascii
import errno
import json
import os
import re
import socket
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network
PREFIX = "LOOPWIRE_"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class SettingsError(Exception):
    """A setting that can't be used; the message is the one line the user reads."""


def duration(text: object) -> timedelta:
    """`150ms`, `5s`, `1m`, `2h`, `7d` as a timedelta; ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 150ms, 5s, 1m, 2h or 7d")
    try:
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    except OverflowError as wrong:
        raise ValueError(f"{text!r} is longer than time itself") from wrong


def _size(text: object) -> int:
    match = re.fullmatch(r"(\d+) ?(B|KiB|MiB|GiB)?", str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is not a size such as 512MiB or 2GiB")
    return int(match[1]) * _SIZES[match[2] or "B"]


def _words(text: object) -> object:
    return [word.strip() for word in text.split(",") if word.strip()] if isinstance(text, str) else text


def _ladder(text: object) -> object:
    rungs = _words(text)
    if not isinstance(rungs, list | tuple) or not rungs:
        raise ValueError("needs at least one delay, such as 5s,1m,5m")
    delays = tuple(duration(rung) for rung in rungs)
    if any(delay < timedelta(seconds=1) or delay % timedelta(seconds=1) for delay in delays):
        raise ValueError("a delay is at least 1s, and whole seconds: it names a topic")
    return delays


def _networks(text: object) -> object:
    words = _words(text)
    return tuple(ip_network(word) if isinstance(word, str) else word for word in words)  # type: ignore[attr-defined]


def _off_or_duration(text: object) -> timedelta | None:
    every = None if text is None or text == "off" else duration(text)
    if every is not None and every < timedelta(seconds=1):
        raise ValueError("must be 1s or more, or off: what is due at once is due again at once")
    return every


def key_bytes(text: str) -> bytes:
    """The 32 bytes that base64 `text` spells; ValueError for anything else."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as wrong:
        raise ValueError("is not base64") from wrong
    if len(key) != 32:
        raise ValueError(f"must be 32 bytes, base64; it is {len(key)} bytes")
    return key


def token_keys(text: str) -> dict[str, bytes]:
    """`kid:base64,...` as kid -> key, the first one first; ValueError names the kid that is wrong."""
    keys: dict[str, bytes] = {}
    for word in text.split(","):
        kid, colon, key = word.strip().partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", kid):
            raise ValueError("must be kid:base64,... with a kid of 1 to 16 letters, digits, - or _")
        if kid in keys:
            raise ValueError(f"has the kid {kid} twice")
        try:
            keys[kid] = key_bytes(key)
        except ValueError as wrong:
            raise ValueError(f"key {kid} {wrong}") from wrong
    return keys


def _json_object(text: object) -> object:
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (json.JSONDecodeError, RecursionError) as wrong:
        raise ValueError(f"is not JSON: {wrong}") from wrong
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 (pydantic turns ValueError into its message, and nothing else)
            'must be a JSON object such as {"security.protocol": "SSL"}'
        )
    if odd := next((name for name, one in value.items() if not isinstance(one, str | int | float)), None):
        raise ValueError(f"{odd} must be a text, a number, true or false")
    return value


def _checked_key(text: str) -> str:
    if text:
        key_bytes(text)
    return text


def _checked_token_keys(text: str) -> str:
    if text:
        token_keys(text)
    return text


def _shown_key(text: str) -> str:
    """A key that a header can show. Never repeats it."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII: it is sent as Authorization: Bearer KEY")
    return text


def _callable(address: str) -> bool:
    """Whether there is a host in it, and a port that is one where there is a port."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _base_url(text: str) -> str:
    if text and not (re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text) and _callable(text)):
        raise ValueError("must be an http or https address such as https://t.example.com")
    return text.rstrip("/")


def _servers(text: str) -> str:
    for server in text.split(",") if text else ():
        match = re.fullmatch(r"\s*(?:[A-Z_]+://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})\s*", server)
        if not match or not 0 < int(match[2]) < 65536:
            raise ValueError(f"{server.strip()!r} is not host:port")
    return text


def _proxy(text: str) -> str:
    if text and not (re.fullmatch(r"(https?|socks5h?)://[^\s/?#]+/?", text) and _callable(text)):
        raise ValueError("must be a proxy's address such as http://egress.example:3128")
    return text


def _database(text: str) -> str:
    """Never repeats it: there may be a password in it."""
    if text and not re.fullmatch(r"postgresql://[^\s/?#]*/[^\s/?#]+(\?\S*)?|sqlite:///(?!:memory:)[^?#]+", text):
        raise ValueError("must be postgresql://user:password@host/name or sqlite:///path/to/file")
    return text


Port = Annotated[int, Field(ge=1, le=65535)]
Duration = Annotated[timedelta, BeforeValidator(duration)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
ShownKey = Annotated[str, AfterValidator(_shown_key)]


class Settings(BaseSettings):
    """All settings, frozen. Secrets do not show in its repr."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    kafka: Annotated[str, AfterValidator(_servers)] = ""
    kafka_config: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)] = Field({}, repr=False)
    group_protocol: Literal["consumer", "classic"] = "consumer"
    data: Path = Path(".loopwire")
    log: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda word: str(word).upper())] = (
        "INFO"
    )
    capture_host: str = "127.0.0.1"
    capture_port: Port = 8080
    capture_workers: Annotated[int, Field(ge=0, le=256)] = 0
    capture_url: BaseUrl = ""
    console_host: str = "127.0.0.1"
    console_port: Port = 8081
    broker_port: Annotated[int, Field(ge=1, le=65534)] = 9092
    metrics_port: Annotated[int, Field(ge=1, le=65534)] = 8090
    admin_key: ShownKey = Field("", repr=False)
    master_key: Annotated[str, AfterValidator(_checked_key)] = Field("", repr=False)
    token_keys: Annotated[str, AfterValidator(_checked_token_keys)] = Field("", repr=False)
    retry_ladder: Annotated[tuple[timedelta, ...], NoDecode, BeforeValidator(_ladder)] = Field(
        "5s,1m,5m,30m,2h,6h,12h,24h,24h,24h", validate_default=True
    )
    allow_networks: Networks = ()
    egress_proxy: Annotated[str, AfterValidator(_proxy)] = Field("", repr=False)
    trusted_proxies: Networks = ()
    ip_policy: Literal["full", "truncate", "hash", "none"] = "full"
    spool_deadline: Duration = timedelta(milliseconds=150)
    spool_limit: Annotated[int, BeforeValidator(_size)] = 2 * 2**30
    table_store: Literal["memory", "disk"] = "memory"
    bad_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    bad_in_row: Annotated[int, Field(ge=0)] = 100
    recheck: Annotated[timedelta | None, BeforeValidator(_off_or_duration)] = timedelta(days=7)
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,60}$")] = ""
    topic_partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    topic_replication: Annotated[int, Field(ge=1, le=9)] = 1
    database_url: Annotated[str, AfterValidator(_database)] = Field("", repr=False)
    schema_registry: BaseUrl = ""
    api_url: BaseUrl = ""
    api_key: ShownKey = Field("", repr=False)

    @property
    def bootstrap(self) -> str:
        """The Kafka to speak to: the one named, else the embedded one."""
        return self.kafka or f"127.0.0.1:{self.broker_port}"

    @property
    def tracking_url(self) -> str:
        """The public base of tracking links, without a slash at its end."""
        return self.capture_url or near(self.capture_host, self.capture_port)

    @property
    def console_url(self) -> str:
        """Where the API of this installation is reached from this machine."""
        return self.api_url or near(self.console_host, self.console_port)


def near(host: str, port: int) -> str:
    """Where who listens on `host` is reached from this machine."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


def unusable(names: tuple[str, str], host: str, port: int, why: OSError) -> SettingsError:
    """What to say where nobody can listen there: of the settings of host and port, `names`, the one to blame."""
    name = names[1] if why.errno in {errno.EADDRINUSE, errno.EACCES} else names[0]
    said = why.strerror if isinstance(why, socket.gaierror) else os.strerror(why.errno or 0)
    return SettingsError(f"{PREFIX}{name}: {host}:{port} can't be used: {said}")


def read(**given: Any) -> Settings:  # noqa: ANN401 (what tests and commands set by hand)
    """The settings from environment and `.env`; SettingsError names the first one that can't be used."""
    try:
        return Settings(**given)
    except UnicodeDecodeError as wrong:
        raise SettingsError(f".env: is not UTF-8: {wrong.reason} at byte {wrong.start}") from wrong
    except OSError as wrong:
        raise SettingsError(f".env: can't be read: {wrong.strerror}") from wrong
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {message}") from wrong
