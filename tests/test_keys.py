"""Keys that nobody set are made once, readable by their owner alone, and are the same for all processes."""

import base64
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from pipeline import keys, settings
from pipeline.settings import Settings, SettingsError

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()


def _all(read: Settings) -> tuple[bytes, dict[str, bytes], str]:
    return keys.master_key(read), keys.link_keys(read), keys.admin_key(read)


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    read = settings.read(data=tmp_path / "new" / "data")
    master, links, admin = _all(read)
    assert (len(master), {kid: len(key) for kid, key in links.items()}, admin[:4]) == (32, {"1": 32}, "adm_")
    assert len({master, *links.values(), bytes(32)}) == 3
    assert _all(read) == (master, links, admin)


def test_their_files_are_their_owner_s_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    _all(settings.read(data=tmp_path / "data"))
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "data").iterdir()} == {
        "master_key": "0o600",
        "token_keys": "0o600",
        "admin_key": "0o600",
    }


def test_what_was_set_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    read = settings.read(data=tmp_path / "data", master_key=KEY, token_keys=f"b:{OTHER},a:{KEY}", admin_key="adm")
    assert _all(read) == (bytes(range(32)), {"b": bytes(32), "a": bytes(range(32))}, "adm")
    assert list(keys.link_keys(read)) == ["b", "a"], "the first signs"
    assert not (tmp_path / "data").exists()


def test_with_a_kafka_of_its_own_an_installation_s_keys_must_be_set(tmp_path: Path) -> None:
    read = settings.read(data=tmp_path / "data", kafka="kafka:9092")
    for name, of in (("MASTER_KEY", keys.master_key), ("TOKEN_KEYS", keys.link_keys)):
        with pytest.raises(SettingsError) as refused:
            of(read)
        assert str(refused.value) == (
            f"LOOPWIRE_{name}: must be set where LOOPWIRE_KAFKA is, so that all machines share it"
        )
    assert keys.admin_key(read) == "", "admin calls are refused"
    assert not (tmp_path / "data").exists()


def test_a_key_that_was_made_is_at_hand_and_none_is_made_by_asking(tmp_path: Path) -> None:
    read = settings.read(data=tmp_path / "data")
    assert (keys.at_hand(read, "admin_key"), keys.at_hand(read, "token_keys")) == ("", "")
    assert not read.data.exists()
    made = keys.admin_key(read)
    assert keys.at_hand(read, "admin_key") == made
    assert keys.at_hand(settings.read(data=read.data, kafka="kafka:9092"), "admin_key") == ""
    assert keys.at_hand(settings.read(data=read.data, admin_key="adm_set"), "admin_key") == "adm_set"


def _ask(data: Path, start: Any, answers: Any) -> None:
    start.wait()
    answers.put(_all(settings.read(data=data)))


def test_processes_that_ask_at_once_get_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(4), context.SimpleQueue()
    asking = [context.Process(target=_ask, args=(tmp_path / "data", start, answers)) for _ in range(4)]
    for process in asking:
        process.start()
    found = [answers.get() for _ in asking]
    for process in asking:
        process.join()
    answers.close()
    assert found == [_all(settings.read(data=tmp_path / "data"))] * 4
    assert len(list((tmp_path / "data").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("master_key", "", "must be 32 bytes, base64; it is 0 bytes"),
        ("master_key", "torn!", "is not base64"),
        ("token_keys", "no kid", "must be kid:base64,... with a kid of 1 to 16 letters, digits, - or _"),
    ],
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    read = settings.read(data=tmp_path)
    with pytest.raises(SettingsError) as refused:
        keys.master_key(read) if name == "master_key" else keys.link_keys(read)
    assert str(refused.value) == f"{tmp_path / name}: {message}"


def test_a_folder_that_can_t_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^LOOPWIRE_DATA: .*master_key can't be used: Not a directory$"):
        keys.master_key(settings.read(data=tmp_path / "file"))
