"""A run's files in other formats, made while somebody waits for them."""

import threading
import time
from pathlib import Path

import pytest
import torch

from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import orbit_cameras
from threed.export_formats import Format
from threed.orbit_files import write_orbit
from threed.run_folder import RunFolder
from ui import exports as exports_module
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


def test_of_a_job_that_is_forgotten_while_its_formats_are_made_nothing_is_made_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run", "other"):
        with RunFolder.create(tmp_path / name) as folder, folder.stage("orbit") as temporary:
            (temporary / "orbit.mp4").write_bytes(b"frames")
    began, go_on, made = threading.Event(), threading.Event(), []

    def first(folder: Path) -> bytes:
        began.set()
        assert go_on.wait(60)
        made.append((folder.name, "first"))
        return b"first"

    def second(folder: Path) -> bytes:
        made.append((folder.name, "second"))
        return b"second"

    formats = (
        Format(name="first", stage="orbit", suffix=".1", make=first),
        Format(name="second", stage="orbit", suffix=".2", make=second),
    )
    monkeypatch.setattr(exports_module, "FORMATS", formats)
    exports = Exports(tmp_path / "served")
    exports.files("job", tmp_path / "run", "ball")
    assert began.wait(60)
    exports.forget("job")
    go_on.set()
    # They are made one after the other: when these are there the others are over.
    while exports.files("other", tmp_path / "other", "cube")[1]:
        time.sleep(0.01)
    assert made == [("run", "first"), ("other", "first"), ("other", "second")]
    there = [path.name for path in (tmp_path / "served").rglob("*") if path.is_file()]
    assert sorted(there) == ["cube.1", "cube.2"]
    exports.close()


def test_of_a_format_that_could_not_be_written_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder.create(tmp_path / "run") as folder, folder.stage("orbit") as temporary:
        (temporary / "orbit.mp4").write_bytes(b"frames")
    whole = Format(name="whole", stage="orbit", suffix=".1", make=lambda folder: b"whole")
    monkeypatch.setattr(exports_module, "FORMATS", (whole,))
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    exports = Exports(tmp_path / "served")
    while exports.files("job", folder.path, "ball")[1]:
        time.sleep(0.01)
    assert not [path for path in (tmp_path / "served").rglob("*") if path.is_file()]
    exports.close()
