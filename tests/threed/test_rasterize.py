"""Laws of the rasteriser; Open3D's ray caster is the slow reference."""

import numpy as np
import open3d as o3d
import pytest
import torch
import trimesh
from torch.testing import assert_close

from threed.cameras import camera_rays, orbit_cameras
from threed.rasterize import _draw_chunks, rasterize


def _mesh(kind: str) -> trimesh.Trimesh:
    if kind == "box":
        return trimesh.creation.box((0.9, 0.6, 0.7))
    if kind == "torus":
        return trimesh.creation.torus(0.6, 0.2, major_sections=24, minor_sections=12)
    return trimesh.creation.icosphere(subdivisions=3, radius=0.7)


@pytest.mark.parametrize("kind", ["box", "torus", "sphere"])
def test_faces_and_depths_agree_with_a_ray_caster(kind: str) -> None:
    mesh = _mesh(kind)
    cameras = orbit_cameras(5, size=48, elevation=torch.linspace(-0.5, 1.0, 5), start_azimuth=0.1)
    vertices = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)
    faces = torch.tensor(np.asarray(mesh.faces), dtype=torch.long)
    fragments = rasterize(vertices, faces, cameras)
    origins, directions = camera_rays(cameras)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.asarray(mesh.vertices, np.float32)),
        o3d.core.Tensor(np.asarray(mesh.faces, np.uint32)),
    )
    rays = torch.cat([origins, directions], dim=-1).numpy()
    answer = scene.cast_rays(o3d.core.Tensor(rays))
    face = torch.from_numpy(answer["primitive_ids"].numpy().astype(np.int64))
    face[face == o3d.t.geometry.RaycastingScene.INVALID_ID] = -1
    # Only centres that lie on an edge to within rounding may differ.
    assert (fragments.face == face).float().mean() > 0.999
    same = (fragments.face == face) & (face >= 0)
    forward = -cameras.c2w[:, None, None, :3, 2]
    distance = torch.from_numpy(answer["t_hit"].numpy())
    depth = distance * (directions * forward).sum(dim=-1)
    assert_close(fragments.depth[same], depth[same], atol=1e-4, rtol=0)


def test_interpolated_positions_lie_on_the_pixels_rays() -> None:
    mesh = _mesh("sphere")
    vertices = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)
    faces = torch.tensor(np.asarray(mesh.faces), dtype=torch.long)
    cameras = orbit_cameras(3, size=32, elevation=0.3)
    fragments = rasterize(vertices, faces, cameras)
    points = fragments.interpolate(vertices[faces])
    origins, directions = camera_rays(cameras)
    hit = fragments.face >= 0
    offset = points - origins
    across = torch.linalg.cross(offset, directions).norm(dim=-1)
    assert across[hit].max() < 1e-3
    assert not points[~hit].any()


def test_the_order_of_faces_and_the_chunks_of_views_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh = _mesh("torus")
    vertices = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)
    faces = torch.tensor(np.asarray(mesh.faces), dtype=torch.long)
    cameras = orbit_cameras(4, size=24)
    whole = rasterize(vertices, faces, cameras)
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    shuffled = rasterize(vertices, faces[order], cameras)
    hit = shuffled.face >= 0
    assert_close(shuffled.depth, whole.depth)
    assert (order[shuffled.face[hit]] == whole.face[hit]).float().mean() > 0.999
    monkeypatch.setattr("threed.rasterize._draw", _draw_chunks)
    monkeypatch.setattr("threed.rasterize.MAX_CANDIDATES", 10)
    assert torch.equal(rasterize(vertices, faces, cameras).face, whole.face)


def test_nothing_in_sight_is_all_background() -> None:
    vertices = torch.tensor([[0.0, 0, 9], [1, 0, 9], [0, 1, 9]])
    fragments = rasterize(vertices, torch.tensor([[0, 1, 2]]), orbit_cameras(1, size=8))
    assert bool((fragments.face == -1).all()) and bool(fragments.depth.isinf().all())


@pytest.mark.parametrize("outward_first", [True, False])
def test_of_two_faces_in_one_place_the_one_turned_to_the_camera_is_seen(
    outward_first: bool,
) -> None:
    """A box lined with another, as modellers make a sheet with two sides."""
    box = _mesh("box")
    outer = torch.tensor(np.asarray(box.faces), dtype=torch.long)
    # Its corners run the other way and begin elsewhere, so that its depths round otherwise.
    inner = outer.flip(1).roll(1, dims=1)
    lined = torch.cat([outer, inner] if outward_first else [inner, outer])
    vertices = torch.tensor(np.asarray(box.vertices), dtype=torch.float32)
    cameras = orbit_cameras(6, size=96, elevation=torch.linspace(-0.6, 0.9, 6), start_azimuth=0.2)
    seen, alone = (rasterize(vertices, faces, cameras) for faces in (lined, outer))
    first = 0 if outward_first else len(outer)
    shown = torch.where(seen.face < 0, -1, seen.face - first)
    assert torch.equal(shown, alone.face)
    assert torch.equal(seen.depth, alone.depth)
    # Without the outer one the lining is seen from behind.
    lining = rasterize(vertices, inner, cameras)
    assert torch.equal(lining.face >= 0, alone.face >= 0)
