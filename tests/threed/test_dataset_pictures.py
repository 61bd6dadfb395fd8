"""What pictures show of the object, and what they leave open."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.testing import assert_close

from tests.threed.profiles import P3, grey_profile, rgb_profile, srgb_of_p3
from tests.threed.test_dataset import (
    CENTRE,
    COLOUR,
    RADIUS,
    assert_sphere_is_where_it_was,
    edit,
    sphere_alpha,
    sphere_orbit,
    write_folder,
)
from threed.cameras import Cameras, orbit_cameras
from threed.dataset import read_dataset
from threed.errors import RequestError
from threed.hull import HullConfig, carve
from threed.orbit import OrbitVideo
from threed.orbit_files import write_orbit

WHOLE, CLOSE = 40.0, 14.0


def views(
    count: int, fov_deg: float, right: float = 0.0, up: float = 0.0, radius: float = 3.2
) -> Cameras:
    """Cameras around, each moved along its own axes."""
    fov_y = math.radians(fov_deg)
    cameras = orbit_cameras(count, size=96, fov_y=fov_y, start_azimuth=0.1, radius=radius)
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] += right * c2w[:, :3, 0] + up * c2w[:, :3, 1]
    return replace(cameras, c2w=c2w)


def read_views(folder: Path, *parts: Cameras) -> tuple[OrbitVideo, list[str]]:
    cameras = Cameras(
        c2w=torch.cat([part.c2w for part in parts]),
        fov_y=torch.cat([part.fov_y for part in parts]),
        width=96,
        height=96,
    )
    folder.mkdir(exist_ok=True)
    write_orbit(folder, sphere_orbit(cameras))
    notes = []
    return read_dataset(folder, 96, notes=notes)[0], notes


def share_carved_away(orbit: OrbitVideo) -> float:
    """How much of what is surely inside the sphere lies outside the hull."""
    count, voxel = 48, 2.6 * RADIUS / 47
    lower = CENTRE - 1.3 * RADIUS
    inside = carve(orbit, lower, (count, count, count), voxel, HullConfig())
    axis = torch.arange(count) * voxel - 1.3 * RADIUS
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    surely = torch.stack([x, y, z]).norm(dim=0) < RADIUS - voxel
    return float((surely & ~inside).sum() / surely.sum())


@pytest.mark.parametrize(
    "close",
    [
        views(8, CLOSE),
        views(8, CLOSE, up=0.35),
        views(8, 24.0, right=0.5),
        views(8, 8.0),
        views(8, 50.0, radius=1.1),
    ],
    ids=["around", "above", "beside", "filled", "near"],
)
def test_what_a_close_view_cuts_off_is_not_carved_away(tmp_path: Path, close: Cameras) -> None:
    orbit, notes = read_views(tmp_path, views(16, WHOLE), close)
    assert orbit.num_frames == 24 and notes == ["8 of 24 pictures do not show the whole object"]
    assert share_carved_away(orbit) < 0.002
    # All that the close views' frames hold is picture.
    expected = sphere_alpha(orbit.cameras)
    assert_close(orbit.alpha[16:], expected[16:], atol=0.3, rtol=0)
    # And the whole views are as without them.
    alone, _ = read_views(tmp_path / "alone", views(16, WHOLE))
    assert_close(orbit.alpha[:16], alone.alpha)


def test_what_every_picture_cuts_off_is_not_carved_away(tmp_path: Path) -> None:
    orbit, _ = read_views(tmp_path, views(24, 17.0))
    assert share_carved_away(orbit) < 0.01


def test_an_edge_that_cuts_nothing_off_stays_away_from_the_object(tmp_path: Path) -> None:
    """Where all pictures cut the object off below, there is still room at its sides."""
    orbit, _ = read_views(tmp_path, views(24, 30.0, up=0.6))
    assert float(orbit.alpha[:, -1].max()) > 0.99
    assert float(orbit.alpha[:, :, [0, -1]].max()) < 0.02


def test_close_views_do_not_outvote_the_whole_ones(tmp_path: Path) -> None:
    """What only a quarter of the pictures show would be carved away, so some are left out."""
    orbit, notes = read_views(tmp_path, views(8, WHOLE), views(24, CLOSE, up=0.35))
    assert notes == ["24 of 32 pictures do not show the whole object, of which 9 were left out"]
    assert orbit.num_frames == 23
    assert share_carved_away(orbit) < 0.002


def test_a_picture_that_the_object_fills_is_told_by_the_others(tmp_path: Path) -> None:
    orbit, _ = read_views(tmp_path, views(4, WHOLE), views(1, 8.0))
    assert float(orbit.alpha[4].min()) > 0.99
    # A file without an alpha channel tells nothing.
    picture = tmp_path / "images" / "004.png"
    Image.open(picture).convert("RGB").save(picture)
    with pytest.raises(RequestError, match="has no alpha"):
        read_dataset(tmp_path, 96)


def write_masks(folder: Path, mask_of: Callable[[np.ndarray], Image.Image]) -> None:
    """Move the pictures' alphas to masks; what they hid then is stripes."""
    path = folder / "transforms.json"
    meta = json.loads(path.read_text())
    for index, frame in enumerate(meta["frames"]):
        picture = np.asarray(Image.open(folder / frame["file_path"]))
        stripes = np.where(np.arange(96)[:, None] % 2, [[10, 200, 90]], [[200, 10, 90]])
        rgb = np.where(picture[..., 3:] > 0, picture[..., :3], stripes).astype(np.uint8)
        frame["file_path"], frame["mask_path"] = f"{index}.png", f"mask{index}.png"
        Image.fromarray(rgb).save(folder / frame["file_path"])
        mask_of(picture[..., 3]).save(folder / frame["mask_path"])
    path.write_text(json.dumps(meta))


def test_a_masks_soft_edge_counts(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_masks(tmp_path, Image.fromarray)
    assert_sphere_is_where_it_was(read_dataset(tmp_path, 64)[0])


def painted(index: np.ndarray) -> Image.Image:
    mask = Image.fromarray(index, "P")
    mask.putpalette([200, 200, 200, 0, 0, 0])
    return mask


@pytest.mark.parametrize(
    "kind",
    [
        Image.fromarray,
        lambda solid: Image.fromarray(7 * solid),
        lambda solid: Image.fromarray(solid > 0),
        painted,
        lambda solid: Image.fromarray(np.uint16(7) * solid),
        lambda solid: Image.fromarray(np.uint16(65535) * solid),
    ],
    ids=["one", "label", "bit", "palette", "deep label", "deep white"],
)
def test_whatever_a_mask_holds_but_zero_is_the_object(
    tmp_path: Path, kind: Callable[[np.ndarray], Image.Image]
) -> None:
    """As nerfstudio reads it: a palette's index, a label or a bit says the same as full white."""
    found = []
    for name, mask_of in (("white", lambda solid: Image.fromarray(255 * solid)), ("kind", kind)):
        write_folder(tmp_path / name)
        write_masks(tmp_path / name, lambda alpha, of=mask_of: of((alpha > 127).astype(np.uint8)))
        found.append(read_dataset(tmp_path / name, 64)[0])
    assert_close(found[0].alpha, found[1].alpha)
    assert_sphere_is_where_it_was(found[0], tolerance=0.05, shift=0.1)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, num_frames=4, size=32)
    for picture in (tmp_path / "images").iterdir():
        Image.open(picture).convert("RGB").save(picture)
    Image.new("L", (16, 16), 255).save(tmp_path / "mask.png")
    edit(tmp_path, frame={"mask_path": "mask.png"})
    with pytest.raises(RequestError, match="another size"):
        read_dataset(tmp_path, 32)


def repainted(folder: Path, paint: Callable[[Image.Image, Path], None]) -> OrbitVideo:
    """Write a folder, save each of its pictures anew, and read it."""
    write_folder(folder)
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            image.load()
        paint(image, path)
    return read_dataset(folder, 64)[0]


def test_a_profile_is_followed_and_a_mask_has_none(tmp_path: Path) -> None:
    told = rgb_profile(P3)
    orbit = repainted(tmp_path / "a", lambda image, path: image.save(path, icc_profile=told))
    inside = orbit.alpha > 0.999
    expected = srgb_of_p3(tuple(round(255 * value) for value in COLOUR)) / 255
    assert np.abs(orbit.albedo[inside].numpy() - expected).max() < 2 / 255
    write_folder(tmp_path / "b")
    write_masks(tmp_path / "b", Image.fromarray)
    plain = read_dataset(tmp_path / "b", 64)[0]
    for path in (tmp_path / "b").glob("mask*.png"):
        Image.open(path).save(path, icc_profile=grey_profile(1.0))
    assert_close(read_dataset(tmp_path / "b", 64)[0].alpha, plain.alpha, atol=0, rtol=0)


def test_sixteen_bits_of_grey_are_read_as_eight_are(tmp_path: Path) -> None:
    def shallow(image: Image.Image, path: Path) -> None:
        image.convert("L").save(path)

    def deep(image: Image.Image, path: Path) -> None:
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)

    first, second = (repainted(tmp_path / of.__name__, of) for of in (shallow, deep))
    assert_close(first.albedo, second.albedo, atol=0, rtol=0)
    assert_close(first.alpha, second.alpha, atol=0, rtol=0)


def test_a_picture_with_more_words_than_are_read_is_refused(tmp_path: Path) -> None:
    """A megabyte of text, as some programs keep the way that a picture was made."""
    write_folder(tmp_path, num_frames=4, size=32)
    words = PngInfo()
    words.add_itxt("workflow", "x" * (2 << 20), zip=True)
    picture = tmp_path / "images" / "002.png"
    Image.open(picture).save(picture, pnginfo=words)
    with pytest.raises(RequestError, match="002.png cannot be read.*too large"):
        read_dataset(tmp_path, 32)
