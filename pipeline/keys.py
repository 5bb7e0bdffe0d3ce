"""Keys that nobody set are made once, in DATA, readable by their owner alone."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pipeline.settings import Settings, SettingsError, key_bytes, token_keys

Maker = Callable[[], str]
Key = TypeVar("Key", bytes, dict[str, bytes])


def master_key(settings: Settings) -> bytes:
    """MASTER_KEY, 32 bytes; SettingsError where KAFKA is set and it isn't."""
    if settings.master_key:
        return key_bytes(settings.master_key)
    return _made(settings, "master_key", _random_key, key_bytes)


def link_keys(settings: Settings) -> dict[str, bytes]:
    """TOKEN_KEYS as kid -> 32 bytes, the signing one first; SettingsError where KAFKA is set and they aren't."""
    if settings.token_keys:
        return token_keys(settings.token_keys)
    return _made(settings, "token_keys", lambda: f"1:{_random_key()}", token_keys)


def admin_key(settings: Settings) -> str:
    """ADMIN_KEY; empty (every admin call refused) where KAFKA is set and it isn't."""
    if settings.admin_key or settings.kafka:
        return settings.admin_key
    return _kept(settings.data / "admin_key", lambda: "adm_" + secrets.token_urlsafe(32))


def at_hand(settings: Settings, name: Literal["admin_key", "token_keys"]) -> str:
    """The key as it was set, or made before in DATA; empty where neither. It makes none, wherever it is asked."""
    given: str = getattr(settings, name)
    if given or settings.kafka:
        return given
    path = settings.data / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as failed:
        raise SettingsError(f"LOOPWIRE_DATA: {path} can't be used: {failed.strerror}") from failed


def _made(settings: Settings, name: str, make: Maker, parse: Callable[[str], Key]) -> Key:
    if settings.kafka:
        raise SettingsError(
            f"LOOPWIRE_{name.upper()}: must be set where LOOPWIRE_KAFKA is, so that all machines share it"
        )
    path = settings.data / name
    try:
        return parse(_kept(path, make))
    except ValueError as wrong:
        raise SettingsError(f"{path}: {wrong}") from wrong


def _kept(path: Path, make: Maker) -> str:
    """What `path` holds; where it isn't there, it is written first, whole or not at all, by one of us alone."""
    try:
        return _read_or_write(path, make)
    except OSError as failed:
        raise SettingsError(f"LOOPWIRE_DATA: {path} can't be used: {failed.strerror}") from failed


def _read_or_write(path: Path, make: Maker) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails where another process was first: then theirs counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
