"""A run's files in other formats, made while somebody waits for them."""

import time
from pathlib import Path

import pytest
import torch

from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import orbit_cameras
from threed.orbit_files import write_orbit
from threed.run_folder import RunFolder
from ui.exports import Exports


def test_who_asks_while_formats_are_made_is_told_of_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orbit = draw_sphere(orbit_cameras(8, size=32), torch.tensor([0.8, 0.3, 0.1]))
    with RunFolder.create(tmp_path / "run") as folder, folder.stage("orbit") as temporary:
        write_orbit(temporary, orbit)
    exists = Path.exists

    def slow(path: Path) -> bool:
        # As on a busy disk: formats become ready while those before are looked for.
        if path.is_relative_to(tmp_path / "served"):
            time.sleep(0.05)
        return exists(path)

    monkeypatch.setattr(Path, "exists", slow)
    exports, seen, pending = Exports(tmp_path / "served"), set(), True
    deadline = time.monotonic() + 60
    while pending:
        assert time.monotonic() < deadline
        files, pending = exports.files("job", folder.path, "ball")
        assert seen <= files.keys()
        seen |= files.keys()
    assert len(seen) > 1
    exports.close()
