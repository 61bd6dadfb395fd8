import math

import numpy as np
import pytest
import torch
import trimesh

from tests.threed.solids import Solid, ball, box, plain, union
from threed.errors import ReconstructionError
from threed.mesh import Mesh, MeshConfig, extract_mesh, resolution_for

GREY = plain(0.5, 0.5, 0.5)
SMALL = MeshConfig(resolution=64, max_faces=4000)


def solid_of(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.mark.parametrize("max_faces", [500, 2_000, 20_000])
def test_sphere_becomes_a_closed_volume_of_four_thirds_pi_r_cubed(max_faces: int) -> None:
    mesh = extract_mesh(Solid(distance=ball(0.6), colour=GREY), MeshConfig(max_faces=max_faces))
    solid = solid_of(mesh)
    assert solid.is_volume
    assert 490 <= len(mesh.faces) <= max_faces
    # A polyhedron of f triangles inside a sphere lacks some 2.4 pi / f of its volume.
    assert solid.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.001 + 8 / max_faces)
    outward = (solid.face_normals * solid.triangles_center).sum(axis=1)
    assert (outward > 0).all()


def test_cube_keeps_its_sides_where_they_are() -> None:
    mesh = extract_mesh(Solid(distance=box(0.5), colour=GREY), MeshConfig())
    solid = solid_of(mesh)
    assert solid.is_volume
    np.testing.assert_allclose(solid.bounds, [[-0.5] * 3, [0.5] * 3], atol=0.005)
    assert solid.volume == pytest.approx(1.0, rel=0.01)


def test_surface_moves_and_grows_with_the_field() -> None:
    here = extract_mesh(Solid(distance=box(0.5), colour=GREY), SMALL)
    centre, scale = (30.0, -7.0, 2.5), 16.0
    moved = Solid(
        distance=lambda p: scale * box(0.5)((p - p.new_tensor(centre)) / scale),
        colour=GREY,
        reach=scale,
        centre=centre,
    )
    there = solid_of(extract_mesh(moved, SMALL))
    assert there.volume == pytest.approx(scale**3 * solid_of(here).volume, rel=1e-3)
    np.testing.assert_allclose(there.bounds.mean(axis=0), centre, atol=0.02 * scale)


def test_small_parts_are_dropped_and_large_ones_stay() -> None:
    crumb = ball(0.06, (0.8, 0.0, 0.0))
    pair = union(ball(0.3, (-0.4, 0, 0)), ball(0.3, (0.4, 0, 0)))
    kept = solid_of(extract_mesh(Solid(distance=union(pair, crumb), colour=GREY), SMALL))
    assert kept.body_count == 2
    assert kept.bounds[1, 0] == pytest.approx(0.7, abs=0.01)


def test_hollows_are_filled() -> None:
    shell = Solid(distance=lambda p: torch.maximum(ball(0.6)(p), -ball(0.3)(p)), colour=GREY)
    solid = solid_of(extract_mesh(shell, SMALL))
    assert solid.body_count == 1
    assert solid.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)


def test_surface_that_leaves_the_bounds_is_closed_there() -> None:
    cut = Solid(distance=ball(1.0, (0.0, -1.0, 0.0)), colour=GREY, reach=0.9)
    solid = solid_of(extract_mesh(cut, SMALL))
    assert solid.is_volume
    assert solid.bounds[0, 1] == pytest.approx(-0.9, abs=0.04)


def test_level_exactly_on_grid_points_leaves_no_triangle_without_area() -> None:
    flat = Solid(distance=lambda p: p.abs().amax(dim=-1) - 0.5, colour=GREY)
    solid = solid_of(
        extract_mesh(flat, MeshConfig(resolution=64, smoothing_rounds=0, max_faces=100_000))
    )
    assert solid.is_volume
    assert (solid.area_faces > 0).all()


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_field_without_surface_says_what_to_try(value: float) -> None:
    nothing = Solid(distance=lambda p: torch.full_like(p[..., 0], value), colour=GREY)
    with pytest.raises(ReconstructionError, match="Try another seed"):
        extract_mesh(nothing, MeshConfig())


def test_wrong_config_names_the_field() -> None:
    with pytest.raises(ValueError, match="max_faces is 10"):
        MeshConfig(max_faces=10)


@pytest.mark.parametrize("max_faces", [20_000, 60_000])
def test_a_slender_solid_has_the_faces_that_were_asked_for(max_faces: int) -> None:
    """A pole has few faces for its length, so a larger budget needs a finer grid."""

    def pole(points: torch.Tensor) -> torch.Tensor:
        across = points[..., [0, 2]].norm(dim=-1) - 0.22
        return torch.maximum(across, points[..., 1].abs() - 0.9)

    config = MeshConfig(max_faces=max_faces, resolution=resolution_for(max_faces))
    mesh = extract_mesh(Solid(distance=pole, colour=GREY), config)
    assert 0.95 * max_faces <= len(mesh.faces) <= max_faces
