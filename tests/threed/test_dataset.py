import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from threed.__main__ import _source_files
from threed.cameras import Cameras, camera_rays, orbit_cameras
from threed.dataset import cameras_up, read_dataset
from threed.errors import RequestError
from threed.orbit import OrbitVideo
from threed.orbit_files import write_orbit
from threed.picture_folder import pictures_in
from threed.placement import turned_up
from threed.resample import Lens
from threed.source import SourceConfig, read_source

CENTRE, RADIUS = torch.tensor([0.1, -0.05, 0.2]), 0.5
COLOUR = (0.8, 0.3, 0.2)


def sphere_alpha(
    cameras: Cameras, centre: torch.Tensor = CENTRE, radius: float = RADIUS
) -> torch.Tensor:
    """Exact silhouettes of a sphere, antialiased over about a pixel."""
    origins, directions = camera_rays(cameras)
    offset = centre - origins
    along = (offset * directions).sum(dim=-1)
    miss = (offset.square().sum(dim=-1) - along.square()).clamp(min=0).sqrt()
    pixel = along / cameras.focal[:, None, None]
    return ((radius - miss) / pixel + 0.5).clamp(0, 1)


def sphere_orbit(cameras: Cameras) -> OrbitVideo:
    alpha = sphere_alpha(cameras)
    return OrbitVideo(
        albedo=alpha[..., None] * torch.tensor(COLOUR), alpha=alpha, normals=None, cameras=cameras
    )


def write_folder(folder: Path, num_frames: int = 6, size: int = 96) -> OrbitVideo:
    orbit = sphere_orbit(orbit_cameras(num_frames, size=size))
    folder.mkdir(exist_ok=True)
    write_orbit(folder, orbit)
    return orbit


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "transforms.json"
    meta = json.loads(path.read_text())
    frame = changes.pop("frame", {})
    meta["frames"][1] |= frame
    path.write_text(json.dumps(meta | changes))


def assert_sphere_is_where_it_was(
    orbit: OrbitVideo, tolerance: float = 0.035, colours: float = 0.01, shift: float = 0.04
) -> None:
    """The law of every reading: the new cameras explain the new pictures of the old sphere."""
    expected = sphere_alpha(orbit.cameras)
    assert float((orbit.alpha - expected).abs().mean() / expected.mean()) < tolerance
    for axis in (1, 2):
        # Blur from resampling is no matter, but a shift of a small part of a pixel is one.
        place = torch.arange(orbit.alpha.shape[axis]) + 0.5
        found, wanted = (
            (picture.sum(dim=3 - axis) * place).sum(dim=1) / picture.sum(dim=(1, 2))
            for picture in (orbit.alpha, expected)
        )
        assert_close(found, wanted, atol=shift, rtol=0)
    straight = orbit.albedo[orbit.alpha > 0.9] / orbit.alpha[orbit.alpha > 0.9][:, None]
    assert_close(straight, torch.tensor(COLOUR).expand_as(straight), atol=colours, rtol=0)


def test_a_run_folder_reads_back_as_a_dataset(tmp_path: Path) -> None:
    written = write_folder(tmp_path)
    orbit, up = read_dataset(tmp_path, 64)
    assert up == "y" and max(orbit.alpha.shape[1:]) == 64
    assert_close(orbit.cameras.c2w, written.cameras.c2w, atol=1e-6, rtol=0)
    assert_sphere_is_where_it_was(orbit)


@pytest.mark.slow
def test_nerfstudio_itself_reads_what_is_written(tmp_path: Path) -> None:
    parsers = pytest.importorskip("nerfstudio.data.dataparsers.nerfstudio_dataparser")
    written = write_folder(tmp_path)
    config = parsers.NerfstudioDataParserConfig(
        data=tmp_path,
        eval_mode="all",
        orientation_method="none",
        center_method="none",
        auto_scale_poses=False,
    )
    outputs = config.setup().get_dataparser_outputs("train")
    assert [path.name for path in outputs.image_filenames] == [f"{i:03d}.png" for i in range(6)]
    theirs = outputs.cameras
    assert_close(theirs.camera_to_worlds, written.cameras.c2w[:, :3])
    rays = theirs.generate_rays(camera_indices=2)
    origins, directions = camera_rays(written.cameras[[2]])
    assert_close(rays.origins, origins[0])
    assert_close(rays.directions, directions[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "lens",
    [
        Lens(fl_x=150.0, fl_y=150.0, cx=70.0, cy=52.0),
        Lens(fl_x=150.0, fl_y=140.0, cx=61.0, cy=66.0),
        Lens(
            fl_x=150.0,
            fl_y=150.0,
            cx=64.0,
            cy=60.0,
            radial=(0.2, -0.1, 0.0, 0.0),
            tangential=(0.01, -0.02),
        ),
    ],
)
def test_any_lens_is_resampled_to_a_centred_pinhole(tmp_path: Path, lens: Lens) -> None:
    """Pictures drawn through the lens itself, ray by ray, come out as our pinhole sees them."""
    width, height = 128, 120
    cameras = orbit_cameras(5, size=16)
    pixels = np.stack(
        np.meshgrid(np.arange(width * 3) / 3 + 1 / 6, np.arange(height * 3) / 3 + 1 / 6), axis=-1
    )
    tangent = torch.from_numpy(lens.to_tangent(pixels)).float()
    local = torch.cat([tangent * torch.tensor([1.0, -1.0]), -torch.ones_like(tangent[..., :1])], -1)
    local = local / local.norm(dim=-1, keepdim=True)
    frames = []
    for index, pose in enumerate(cameras.c2w):
        directions = local @ pose[:3, :3].T
        offset = CENTRE - pose[:3, 3]
        along = directions @ offset
        hit = (offset.square().sum() - along.square() < RADIUS**2).float()
        alpha = hit.view(height, 3, width, 3).mean(dim=(1, 3))
        rgba = torch.cat([torch.tensor(COLOUR).expand(height, width, 3), alpha[..., None]], -1)
        name = f"{index}.png"
        Image.fromarray((255 * rgba).round().byte().numpy(), "RGBA").save(tmp_path / name)
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    k1, k2, k3, k4 = lens.radial
    p1, p2 = lens.tangential
    meta = {"camera_model": "OPENCV", "w": width, "h": height, "frames": frames}
    meta |= {"fl_x": lens.fl_x, "fl_y": lens.fl_y, "cx": lens.cx, "cy": lens.cy}
    meta |= {"k1": k1, "k2": k2, "k3": k3, "k4": k4, "p1": p1, "p2": p2}
    (tmp_path / "transforms.json").write_text(json.dumps(meta))
    orbit, _ = read_dataset(tmp_path, 96)
    assert_sphere_is_where_it_was(orbit)


def test_undoing_a_lens_is_its_inverse() -> None:
    lens = Lens(
        fl_x=90.0,
        fl_y=80.0,
        cx=30.0,
        cy=33.0,
        radial=(0.1, -0.05, 0.01, 0.0),
        tangential=(0.01, 0.02),
    )
    tangent = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    np.testing.assert_allclose(lens.to_tangent(lens.to_pixels(tangent)), tangent, atol=1e-7)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_coordinates_are_left_as_they_are(tmp_path: Path, scale: float) -> None:
    """Any scale, any place, z up: poses come out as they stand in the file."""
    write_folder(tmp_path)
    path = tmp_path / "transforms.json"
    meta = json.loads(path.read_text())
    del meta["up"]
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    poses = []
    for frame in meta["frames"]:
        pose = np.array(frame["transform_matrix"])
        pose[:3] = turn @ pose[:3]
        pose[:3, 3] = pose[:3, 3] * scale + scale
        frame["transform_matrix"] = pose.tolist()
        poses.append(pose)
    path.write_text(json.dumps(meta))
    orbit, up = read_dataset(tmp_path, 48)
    assert up == "z" and cameras_up(orbit.cameras) == "z"
    assert_close(orbit.cameras.c2w, torch.tensor(np.array(poses)).float())


def test_pictures_without_alpha_are_matted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for path in (tmp_path / "images").iterdir():
        image = Image.open(path)
        white = Image.new("RGBA", image.size, "white")
        Image.alpha_composite(white, image).convert("RGB").save(path)
    assert_sphere_is_where_it_was(read_dataset(tmp_path, 96)[0], colours=0.04)


def test_focal_lengths_may_differ_by_frame(tmp_path: Path) -> None:
    cameras = orbit_cameras(4, size=96)
    cameras = replace(cameras, fov_y=torch.deg2rad(torch.tensor([40.0, 50.0, 35.0, 60.0])))
    write_orbit(tmp_path, sphere_orbit(cameras))
    assert "fl_x" not in json.loads((tmp_path / "transforms.json").read_text())
    assert_sphere_is_where_it_was(read_dataset(tmp_path, 64)[0])


@pytest.mark.parametrize("axis", ["y", "z"])
@pytest.mark.parametrize("is_told", [True, False])
def test_what_stands_on_its_head_is_turned(tmp_path: Path, axis: str, is_told: bool) -> None:
    """Up is then the positive end; where the cameras look from turns with the object."""
    written = write_folder(tmp_path)
    # Turns of the world that bring +y to -y or -z.
    turn = np.diag([1.0, -1, -1]) if axis == "y" else np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    path = tmp_path / "transforms.json"
    meta = json.loads(path.read_text())
    for frame in meta["frames"]:
        pose = np.array(frame["transform_matrix"])
        frame["transform_matrix"] = (turn @ pose[:3]).tolist()
    del meta["up"]
    if is_told:
        meta["up"] = (turn @ [0, 1, 0]).tolist()
    path.write_text(json.dumps(meta))
    notes = []
    orbit, up = read_dataset(tmp_path, 48, notes=notes)
    assert up == axis and "turned" in notes[0]
    found = turned_up(orbit, up, "y").cameras.c2w
    assert_close(found, written.cameras.c2w, atol=1e-6, rtol=0)


def test_the_file_that_is_named_is_the_one_that_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "orbit.npz").unlink()
    path, other = tmp_path / "transforms.json", tmp_path / "transforms_test.json"
    meta = json.loads(path.read_text())
    other.write_text(json.dumps(meta | {"frames": meta["frames"][:4]}))
    config = SourceConfig(size=48)
    assert read_source(tmp_path, config).orbit.num_frames == 6
    assert read_source(path, config).orbit.num_frames == 6
    assert read_source(other, config).orbit.num_frames == 4
    assert set(_source_files(other)) == {
        other,
        *(tmp_path / frame["file_path"] for frame in meta["frames"][:4]),
    }
    path.unlink()
    assert read_source(other, config).orbit.num_frames == 4


def test_a_file_that_lists_no_views_is_refused_among_pictures_too(tmp_path: Path) -> None:
    write_folder(tmp_path)
    path = tmp_path / "images" / "x.json"
    path.write_text('{"a": 1}')
    with pytest.raises(RequestError, match="x.json is no transforms.json"):
        read_source(path, SourceConfig(size=48))


def test_what_macos_keeps_beside_a_picture_is_no_picture(tmp_path: Path) -> None:
    for name in ("IMG_2.png", "IMG_10.png", "._IMG_2.png", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in pictures_in(tmp_path)] == ["IMG_2.png", "IMG_10.png"]


NOT_A_NUMBER = [[math.nan] * 4] * 4


def pose_with(row: int, column: int, value: float) -> list[list[float]]:
    pose = np.eye(4).tolist()
    pose[row][column] = value
    return pose


MIRROR = np.diag([1.0, 1, -1, 1]).tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frame": {"file_path": "images/none.png"}}, "not there"),
        ({"frame": {"file_path": "../../etc/passwd"}}, "outside"),
        ({"frame": {"file_path": "/etc/passwd"}}, "outside"),
        ({"frame": {"file_path": "transforms.json"}}, "no picture"),
        ({"frame": {"file_path": 3}}, "file_path"),
        ({"frame": {"file_path": "n" * 300}}, "n{300}"),
        ({"frame": {"file_path": "n" * 300 + ".png"}}, "too long"),
        ({"frame": {"file_path": "\ud800.png"}}, r"\\ud800.png"),
        ({"frame": {"file_path": "\ud800"}}, r"\\ud800"),
        ({"frame": {"transform_matrix": NOT_A_NUMBER}}, "not finite"),
        ({"frame": {"transform_matrix": MIRROR}}, "no rotation"),
        ({"frame": {"transform_matrix": [[1, 2]]}}, "shape"),
        ({"frame": {"transform_matrix": "x"}}, "numbers"),
        ({"frame": {"w": 50}}, "transforms.json says"),
        ({"frame": {"transform_matrix": pose_with(0, 3, 1e39)}}, "value beyond"),
        ({"frame": {"transform_matrix": pose_with(0, 3, 10**400)}}, "numbers"),
        ({"frame": {"transform_matrix": (1e200 * np.eye(4)).tolist()}}, "value beyond"),
        ({"frame": {"transform_matrix": (1e-200 * np.eye(4)).tolist()}}, "no rotation"),
        ({"fl_x": math.nan}, "not a number"),
        ({"fl_x": 10**400}, "not a number"),
        ({"fl_x": -1}, "focal length"),
        ({"fl_x": 1e8}, "focal length"),
        ({"fl_x": 1e-300}, "focal length"),
        ({"w": 1e300, "h": 1e300}, "not a number"),
        ({"w": 1e-320, "h": 1e-320}, "transforms.json says"),
        ({"k1": 1e9}, "distortion"),
        ({"cx": 1e6}, "principal point"),
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model"),
        ({"frames": []}, "at least"),
        ({"frames": 7}, "frames"),
    ],
)
def test_what_no_camera_can_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write_folder(tmp_path, num_frames=4, size=32)
    if "frames" in changes:
        (tmp_path / "transforms.json").write_text(json.dumps(changes))
    else:
        edit(tmp_path, **changes)
    with pytest.raises(RequestError, match=said) as caught:
        read_dataset(tmp_path, 64)
    assert "\n" not in str(caught.value) and str(caught.value).encode()


def test_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no transforms.json"):
        read_dataset(tmp_path, 64)
    write_folder(tmp_path, num_frames=4, size=32)
    picture = tmp_path / "images" / "002.png"
    picture.write_bytes(picture.read_bytes()[:90])
    with pytest.raises(RequestError, match="002.png"):
        read_dataset(tmp_path, 64)
    (tmp_path / "transforms.json").write_text("{'frames': [")
    with pytest.raises(RequestError, match="valid JSON"):
        read_dataset(tmp_path, 64)


def test_cameras_in_one_place_are_refused(tmp_path: Path) -> None:
    cameras = orbit_cameras(4, size=32)
    cameras = replace(cameras, c2w=cameras.c2w[:1].repeat(4, 1, 1))
    write_orbit(tmp_path, sphere_orbit(cameras))
    with pytest.raises(RequestError, match="one place"):
        read_dataset(tmp_path, 64)
