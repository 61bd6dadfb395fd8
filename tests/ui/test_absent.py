"""Leaving optional packages aside."""

import importlib
import sys
from pathlib import Path

import pytest

from ui.absent import absent


def test_what_is_held_back_cannot_be_imported_within_and_can_again_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_heavy_thing.py").write_text("weight = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    with absent("a_heavy_thing", "sys"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("a_heavy_thing")
        # Who is there already stays.
        assert importlib.import_module("sys") is sys
    assert importlib.import_module("a_heavy_thing").weight == 7
    with absent("a_heavy_thing"):
        assert importlib.import_module("a_heavy_thing").weight == 7
