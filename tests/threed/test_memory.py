"""What the command line asks of the machine's memory, for each kind of source."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.threed.test_main import refused
from threed import memory
from threed.__main__ import SIZE, _asked, _write_source, build_parser, main
from threed.cameras import orbit_cameras
from threed.dataset import write_transforms
from threed.errors import RequestError
from threed.memory import check_frames, check_reconstruction
from threed.orbit import OrbitVideo
from threed.orbit_files import write_orbit
from threed.run_folder import RunFolder
from threed.source import most_frames

GIB = 1024.0**3


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that says how much memory there is; at first 6 GiB."""
    path = tmp_path / "meminfo"
    monkeypatch.setattr(memory, "MEMINFO", path)
    monkeypatch.setattr(memory, "CGROUP_LIMITS", ())
    has_gib(path, 6.0)
    return path


def has_gib(machine: Path, gib: float) -> None:
    machine.write_text(f"MemTotal: {round(gib * 1024**2)} kB\n")


def write_listing(folder: Path, num_frames: int) -> Path:
    """Write a transforms.json whose pictures are not there."""
    folder.mkdir(parents=True)
    names = [f"images/{index}.png" for index in range(num_frames)]
    write_transforms(folder / "transforms.json", orbit_cameras(num_frames, size=64), names)
    return folder / "transforms.json"


def write_npz(path: Path, num_frames: int, height: int, width: int) -> Path:
    """Write an orbit video that shows nothing."""
    cameras = orbit_cameras(num_frames, size=64)
    np.savez_compressed(
        path,
        frames=np.zeros((num_frames, height, width, 4), np.uint8),
        c2w=cameras.c2w.numpy(),
        fov_y=cameras.fov_y.numpy(),
        kind=np.array("orbit"),
    )
    return path


def block() -> OrbitVideo:
    """An orbit of eight frames of 64 x 48 pixels, all filled in the middle."""
    alpha = torch.zeros(8, 48, 64)
    alpha[:, 12:36, 20:44] = 1
    cameras = orbit_cameras(8, size=48)
    return OrbitVideo(
        albedo=alpha[..., None].expand(-1, -1, -1, 3) * 0.5,
        alpha=alpha,
        normals=None,
        cameras=type(cameras)(c2w=cameras.c2w, fov_y=cameras.fov_y, width=64, height=48),
    )


def test_as_many_frames_count_as_the_source_may_give(tmp_path: Path) -> None:
    assert most_frames(write_listing(tmp_path / "few", 20)) == 20
    assert most_frames(write_listing(tmp_path / "many", 120).parent) == 96
    (tmp_path / "album").mkdir()
    for index in range(60):
        Image.new("RGB", (2, 2)).save(tmp_path / "album" / f"{index}.png")
        if index == 9:
            assert most_frames(tmp_path / "album") == 10
    assert most_frames(tmp_path / "album") == 48
    assert most_frames(tmp_path / "clip.mp4") == 48
    for text in ("", "[]", '{"frames": 3}', "[" * 9999):
        (tmp_path / "bad.json").write_text(text)
        # Reading it says what is wrong.
        assert most_frames(tmp_path / "bad.json") == 0


def test_a_listing_of_many_pictures_is_refused_before_one_is_read(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """48 frames of 512 pixels would fit into 6 GiB, but the file names 96."""
    options = ["--out", str(tmp_path / "out"), "--size", "512", "--texture", "128"]
    many = refused([str(write_listing(tmp_path / "many", 96)), *options], capsys)
    assert "96 frames of 512 x 512 pixels" in many and "smaller --size or --texture" in many
    assert "is not there" in refused([str(write_listing(tmp_path / "few", 48)), *options], capsys)
    # And 20 of 1024 pixels fit, though 48 would not.
    has_gib(machine, 8.0)
    options[3] = "1024"
    assert "is not there" in refused([str(write_listing(tmp_path / "less", 20)), *options], capsys)
    assert not (tmp_path / "out").exists()


def test_an_orbit_video_counts_with_its_own_frames_whatever_the_size(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    has_gib(machine, 2.2)
    options = ["--out", str(tmp_path / "out"), "--texture", "128"]
    said = refused([str(write_npz(tmp_path / "orbit.npz", 96, 256, 256)), *options], capsys)
    assert "96 frames of 256 x 256 pixels" in said
    assert "--size does not apply" in said and "transforms.json" not in said
    assert not (tmp_path / "out").exists()
    # Beside it lie pictures that can be made smaller.
    write_listing(tmp_path / "run", 8)
    write_npz(tmp_path / "run" / "orbit.npz", 96, 256, 256)
    said = refused([str(tmp_path / "run"), *options], capsys)
    assert f"give {tmp_path / 'run' / 'transforms.json'}" in said


def test_narrow_frames_count_by_their_pixels() -> None:
    remedy = "do without"
    check_frames(96, 64, 256, 128, 2.2 * GIB, remedy)
    for width, height in ((256, 256), (64, 1024), (1024, 64)):
        with pytest.raises(RequestError, match=f"96 frames of {width} x {height} .*; do without"):
            check_frames(96, width, height, 128, 2.2 * GIB, remedy)
    with pytest.raises(RequestError, match="48 frames of 1024 x 1024 pixels"):
        check_reconstruction(48, 1024, 1024, 8 * GIB)


def test_a_size_that_an_orbit_video_does_not_have_is_refused_in_words(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    write_orbit(tmp_path / "run", block())
    for name in ("run", "run/orbit.npz"):
        for size in ("1024", str(SIZE)):
            arguments = [str(tmp_path / name), "--out", str(tmp_path / "out"), "--size", size]
            said = refused(arguments, capsys)
            assert f"size is {size}, but" in said and "64 x 48 pixels" in said
            assert "leave --size out" in said and "transforms.json" in said
            assert not (tmp_path / "out").exists()
    assert "size is 1;" in refused([*arguments[:-1], "1"], capsys)


@pytest.mark.parametrize("options", [[], ["--size", "64"]])
def test_an_orbit_video_is_taken_as_it_is_and_counted_again_when_its_run_goes_on(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    write_orbit(tmp_path / "run", block())
    argv = [str(tmp_path / "run"), "--out", str(tmp_path / "out"), *options]
    arguments = build_parser().parse_args(argv)
    with RunFolder.create(tmp_path / "out") as folder:
        assert _write_source(arguments, _asked(arguments), folder) == "y"
        assert folder.done("orbit")
    has_gib(machine, 1.0)
    assert "8 frames of 64 x 48 pixels" in refused(argv, capsys)
    # What was done stays.
    assert RunFolder(tmp_path / "out").done("orbit")


def test_the_usual_size_given_or_not_is_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    argv = [str(tmp_path / "clip.mp4"), "--out", str(tmp_path / "out")]
    asked = [
        _asked(build_parser().parse_args([*argv, *more])) for more in ([], ["--size", str(SIZE)])
    ]
    assert asked[0] == asked[1] and json.loads(json.dumps(asked[0]))["size"] == SIZE
    assert main([*argv, "--size", "0"]) == 2
