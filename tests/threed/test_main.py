import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.threed.balls import turn
from threed.__main__ import _asked, build_parser, main
from threed.cameras import orbit_cameras
from threed.orbit import OrbitVideo
from threed.placement import shift_to, turned_up
from threed.run_folder import RunFolder
from threed.video_io import write_mp4


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; sys.argv = ['threed', '--help']; import threed.__main__ as m\n"
        "try: m.main()\nexcept SystemExit as e: assert e.code == 0\n"
        "assert not {'torch', 'av', 'PIL', 'scipy'} & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "SOURCE" in finished.stdout


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a wrong request ends in."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    complaints = [line for line in lines if line.startswith("python -m threed:")]
    assert len(complaints) == 1 and lines[-1] == complaints[0]
    return complaints[0]


def bad_sources(folder: Path) -> dict[str, str]:
    """Write sources that cannot be used; return each with a word that its refusal says."""
    folder.mkdir()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "lies.mp4").write_text("I am no video")
    frames = (255 * turn(8)[..., :3]).byte().numpy()
    write_mp4(folder / "two.mp4", frames[:2])
    write_mp4(folder / "still.mp4", np.repeat(frames[:1], 12, axis=0))
    (folder / "nothing").mkdir()
    (folder / "bad.npz").write_bytes(b"PK")
    return {
        "none.mp4": "no file",
        "empty.mp4": "empty",
        "lies.mp4": "not a clip",
        "two.mp4": "at least",
        "still.mp4": "turns",
        "nothing": "transforms.json",
        "bad.npz": "not an orbit",
    }


def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    for name, said in bad_sources(tmp_path / "in").items():
        assert said in refused([str(tmp_path / "in" / name), "--out", str(out)], capsys)
        assert not out.parent.exists(), name
    clip = str(tmp_path / "in" / "still.mp4")
    for options, said in (
        (["--faces", "1"], "max_faces"),
        (["--texture", "1"], "texture_size"),
        (["--max-mb", "0.01"], "max_mb is 0.01; it must be a number from 0.1 to 1000"),
        (["--size", "1"], "size"),
        (["--fov-deg", "nan"], "fov_deg"),
        (["--elevation-deg", "99"], "elevation_deg"),
        (["--seed", "-1"], "seed"),
    ):
        assert said in refused([clip, "--out", str(out), *options], capsys)
        assert not out.parent.exists(), options
    assert "cannot be written" in refused([clip, "--out", "/proc/out"], capsys)
    assert "output folder" in refused([clip, "--out", str(tmp_path / "in")], capsys)


def test_a_wrong_option_is_one_line_with_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["clip.mp4", "--up", "x"])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_another_run_in_the_folder_is_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path / "out")
    with folder.stage("request") as temporary:
        (temporary / "request.json").write_text("{}")
    (tmp_path / "clip.mp4").write_bytes(b"x" * 20)
    arguments = [str(tmp_path / "clip.mp4"), "--out", str(folder.path)]
    assert "another run is writing" in refused(arguments, capsys)
    folder.close()
    assert "--overwrite" in refused(arguments, capsys)
    # The old run is given up only for one that can be done.
    assert "not a clip" in refused([*arguments, "--overwrite"], capsys)
    assert "max_faces" in refused([*arguments, "--overwrite", "--faces", "1"], capsys)
    assert folder.done("request")


def test_a_changed_picture_is_another_source(tmp_path: Path) -> None:
    """But what lies beside the pictures, such as the result, is not."""
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png").write_bytes(b"22")
    frames = [{"file_path": "a.png"}, {"file_path": "./b"}]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))

    def asked() -> dict[str, Any]:
        arguments = [str(tmp_path), "--out", str(tmp_path / "out")]
        return _asked(build_parser().parse_args(arguments))

    before = asked()
    assert before["source_files"] == 3
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.png").write_bytes(b"3")
    assert asked() == before
    stat = (tmp_path / "b.png").stat()
    os.utime(tmp_path / "b.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    touched = asked()
    assert touched != before
    (tmp_path / "a.png").unlink()
    assert asked() not in (before, touched)


def test_turning_up_keeps_every_picture() -> None:
    """Points turned like the cameras fall on the same pixels, and z up becomes y up."""
    from threed.cameras import project

    frames = turn(6)
    cameras = orbit_cameras(6, size=64)
    orbit = OrbitVideo(
        albedo=frames[..., :3],
        alpha=frames[..., 3],
        normals=torch.ones_like(frames[..., :3]),
        cameras=cameras,
    )
    turned = turned_up(orbit, "y", "z")
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    x, y, z = points.unbind(dim=1)
    moved = torch.stack([x, -z, y], dim=1)
    torch.testing.assert_close(project(moved, turned.cameras)[0], project(points, cameras)[0])
    assert turned.normals is not None
    torch.testing.assert_close(turned.normals[0, 0, 0], torch.tensor([1.0, -1.0, 1.0]))
    back = turned_up(turned, "z", "y")
    torch.testing.assert_close(back.cameras.c2w, cameras.c2w)


@pytest.mark.parametrize("up", ["y", "z"])
def test_feet_and_centre_come_to_the_origin(up: str) -> None:
    places = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    centred = places + shift_to(places, "centre", up)
    np.testing.assert_allclose(centred.min(axis=0), -centred.max(axis=0), atol=1e-6)
    standing = places + shift_to(places, "feet", up)
    axis = 1 if up == "y" else 2
    assert abs(standing[:, axis].min()) < 1e-6
    np.testing.assert_allclose(shift_to(standing, "feet", up), 0, atol=1e-6)
