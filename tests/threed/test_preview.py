import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.threed.solids import Solid, ball, box, by_side, photograph, plain
from threed.cameras import orbit_cameras
from threed.mesh import MeshConfig, extract_mesh
from threed.preview import render_mesh, turntable, write_webp
from threed.texture import bake, unwrap
from threed.textured_mesh import TexturedMesh

CUBE = Solid(distance=box(0.45), colour=by_side)
RADIUS, DISTANCE = 0.6, 3.2


def textured(solid: Solid, size: int = 128) -> TexturedMesh:
    mesh = extract_mesh(solid, MeshConfig(resolution=64, max_faces=3000))
    return bake(unwrap(mesh), solid, photograph(solid, num_frames=8), size)


@pytest.fixture(scope="module")
def cube() -> TexturedMesh:
    return textured(CUBE)


def test_mesh_looks_like_the_solid_that_it_was_made_from(cube: TexturedMesh) -> None:
    truth = photograph(CUBE, num_frames=5, size=96)
    seen = render_mesh(cube, truth.cameras)
    assert (seen.alpha - truth.alpha).abs().mean() < 0.005
    assert (seen.albedo - truth.albedo).abs().mean() < 0.005


def test_ball_covers_the_disc_that_perspective_gives_it() -> None:
    mesh = textured(Solid(distance=ball(RADIUS), colour=plain(0.5, 0.5, 0.5)))
    cameras = orbit_cameras(3, size=128)
    # The cone that touches a ball at distance d has the half angle asin(r / d).
    radius = float(cameras.focal[0]) * math.tan(math.asin(RADIUS / DISTANCE))
    area = render_mesh(mesh, cameras).alpha.sum(dim=(1, 2))
    np.testing.assert_allclose(area, math.pi * radius**2, rtol=0.01)


def test_first_frame_shows_the_front_and_a_quarter_turn_later_the_side_of_plus_x(
    cube: TexturedMesh,
) -> None:
    frames = turntable(cube, num_frames=4, size=64, elevation=0.0, unlit=True)
    front, right = frames[0, 32, 32] / 255, frames[1, 32, 32] / 255
    np.testing.assert_allclose(front, [0.1, 0.2, 0.9], atol=0.01)
    np.testing.assert_allclose(right, [0.9, 0.1, 0.1], atol=0.01)


def test_turntable_does_not_depend_on_where_and_how_large_the_mesh_is(cube: TexturedMesh) -> None:
    far = replace(cube, vertices=(cube.vertices * 40 + [100, 3, -7]).astype(np.float32))
    ours = turntable(cube, num_frames=3, size=48).astype(int)
    theirs = turntable(far, num_frames=3, size=48).astype(int)
    assert np.mean(np.abs(ours - theirs) > 2) < 0.002


def test_turntable_of_a_mesh_with_z_up_is_the_same(cube: TexturedMesh) -> None:
    """A box of three lengths, so that no quarter turn maps it to itself."""
    upright = replace(cube, vertices=cube.vertices * np.float32([1, 1.6, 0.7]))
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    lying = replace(upright, vertices=upright.vertices @ turn.T, normals=cube.normals @ turn.T)
    ours = turntable(upright, num_frames=3, size=48).astype(int)
    same = turntable(lying, num_frames=3, size=48, up="z").astype(int)
    other = turntable(lying, num_frames=3, size=48).astype(int)
    assert np.mean(np.abs(same - ours) > 2) < 0.002
    assert np.mean(np.abs(other - ours) > 2) > 0.1


def test_background_is_the_grey_that_was_asked_for(cube: TexturedMesh) -> None:
    frames = turntable(cube, num_frames=2, size=32, background=0.5)
    assert (frames[:, 0, 0] == 128).all()


def test_webp_turns_for_ever_through_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "preview.webp"
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (5, 16, 24, 3), generator=generator, dtype=torch.uint8)
    write_webp(frames.numpy(), path)
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (5, (24, 16), 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["preview.webp"]
