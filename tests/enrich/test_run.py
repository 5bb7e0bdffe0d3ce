"""Enrich's door: what can't be used is named."""

from pathlib import Path

import pytest

from pipeline import settings
from pipeline.enrich.run import build
from pipeline.kafka.memory import Memory
from pipeline.settings import SettingsError


def test_a_folder_that_can_t_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as refused:
        build(settings.read(data=tmp_path / "file"), Memory({}))
    assert str(refused.value) == f"LOOPWIRE_DATA: {tmp_path}/file/faust can't be used: Not a directory"
