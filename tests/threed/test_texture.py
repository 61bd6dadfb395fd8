from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.threed.solids import Solid, ball, box, by_side, photograph, plain, union
from threed.dataset import read_dataset
from threed.mesh import MeshConfig, extract_mesh
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.texture import UnwrappedMesh, bake, unwrap, vertex_normals
from threed.textured_mesh import TexturedMesh

SIZE = 256
ORANGE, BLUE = (0.9, 0.5, 0.2), (0.0, 0.0, 1.0)
CUBE = Solid(distance=box(0.45), colour=by_side)


def unwrapped(solid: Solid, max_faces: int = 3000) -> UnwrappedMesh:
    return unwrap(extract_mesh(solid, MeshConfig(resolution=64, max_faces=max_faces)))


def face_colours(mesh: TexturedMesh) -> np.ndarray:
    """Return the texture in the middle of each face."""
    uv = mesh.uv[mesh.faces].mean(axis=1)
    size = mesh.texture.shape[0]
    column = np.clip((uv[:, 0] * size).astype(int), 0, size - 1)
    row = np.clip(((1 - uv[:, 1]) * size).astype(int), 0, size - 1)
    return mesh.texture[row, column].astype(float)


def face_centres(mesh: TexturedMesh) -> torch.Tensor:
    return torch.from_numpy(mesh.vertices[mesh.faces].mean(axis=1))


@pytest.fixture(scope="module")
def views() -> OrbitVideo:
    """A cube of six colours, photographed from above and below."""
    first, second = (photograph(CUBE, elevation=elevation) for elevation in (0.5, -0.5))
    cameras = replace(
        first.cameras,
        c2w=torch.cat([first.cameras.c2w, second.cameras.c2w]),
        fov_y=torch.cat([first.cameras.fov_y, second.cameras.fov_y]),
    )
    return OrbitVideo(
        albedo=torch.cat([first.albedo, second.albedo]),
        alpha=torch.cat([first.alpha, second.alpha]),
        normals=None,
        cameras=cameras,
    )


def as_arrays(views: OrbitVideo, folder: Path) -> OrbitVideo:
    write_orbit(folder, views)
    return read_orbit(folder)


def as_pictures(views: OrbitVideo, folder: Path) -> OrbitVideo:
    write_orbit(folder, views)
    return read_dataset(folder, views.cameras.width)[0]


@pytest.mark.parametrize("through", [None, as_arrays, as_pictures])
def test_flat_sides_have_the_colours_of_the_frames(
    views: OrbitVideo,
    tmp_path: Path,
    through: Callable[[OrbitVideo, Path], OrbitVideo] | None,
) -> None:
    """Within 2/255, as they come or read back from orbit.npz or from PNG; the field is grey."""
    grey = Solid(distance=CUBE.distance, colour=plain(0.5, 0.5, 0.5))
    given = views if through is None else through(views, tmp_path)
    cube = bake(unwrapped(CUBE), grey, given, SIZE)
    centres = face_centres(cube)
    inner = (centres.abs().sort(dim=-1).values[:, 1] < 0.34).numpy()
    assert inner.sum() > 500
    error = np.abs(face_colours(cube) - 255 * by_side(centres).numpy())[inner]
    assert error.max() <= 2


def test_unwrapping_keeps_the_surface_and_packs_without_overlap() -> None:
    mesh = extract_mesh(CUBE, MeshConfig(resolution=64, max_faces=3000))
    cut = unwrap(mesh)
    corners = np.sort(mesh.vertices[mesh.faces].reshape(-1, 9), axis=0)
    np.testing.assert_array_equal(np.sort(cut.vertices[cut.faces].reshape(-1, 9), axis=0), corners)
    assert cut.uv.min() >= 0
    assert cut.uv.max() <= 1
    # Where charts lay over each other, fewer texels would be covered than their areas sum to.
    textured = bake(cut, CUBE, photograph(CUBE, num_frames=2), SIZE)
    assert textured.texture.shape == (SIZE, SIZE, 3)
    a, b, c = (cut.uv[cut.faces[:, k]].astype(float) for k in range(3))
    first, second = b - a, c - a
    area = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum()
    seen = np.zeros((512, 512), dtype=bool)
    grid = np.random.default_rng(0).dirichlet([1, 1, 1], size=(400, 1))
    points = grid @ np.stack([a, b, c], axis=1).transpose(1, 0, 2).reshape(3, -1)
    row_column = (points.reshape(-1, 2) * 511).astype(int)
    seen[row_column[:, 1], row_column[:, 0]] = True
    assert seen.mean() > 0.97 * area


def test_one_coloured_ball_has_a_one_coloured_texture() -> None:
    """Neither background nor gutter shows: every texel is the ball's colour, to rounding."""
    solid = Solid(distance=ball(0.6), colour=plain(*ORANGE))
    mesh = bake(unwrapped(solid), solid, photograph(solid), SIZE)
    error = np.abs(mesh.texture.astype(float) - 255 * np.array(ORANGE))
    assert error.max() <= 2


def test_what_frames_see_but_steeply_has_the_colour_of_the_field() -> None:
    solid = Solid(distance=ball(0.6), colour=plain(*ORANGE))
    blue = Solid(distance=ball(0.6), colour=plain(0.0, 0.0, 1.0))
    mesh = bake(unwrapped(solid), blue, photograph(solid, elevation=0.6), SIZE)
    height = face_centres(mesh)[:, 1].numpy()
    colours = face_colours(mesh)
    # 78 to 84 degrees off the line of sight: seen, but too steeply to count.
    steep = (height > -0.375) & (height < -0.345)
    assert np.abs(colours[steep] - [0, 0, 255]).max() <= 2
    # And from there it spreads.
    assert np.abs(colours[height < -0.55] - [0, 0, 255]).max() <= 2
    assert np.abs(colours[np.abs(height - 0.15) < 0.15] - 255 * np.array(ORANGE)).max() <= 4


@pytest.mark.parametrize(
    ("views", "wanted", "other"), [([0], ORANGE, BLUE), ([0, 0], BLUE, ORANGE)]
)
def test_what_one_view_alone_glimpses_has_the_colours_around_it(
    views: list[int], wanted: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    """Where two views glimpse something, the field is asked, which is blue."""
    solid = Solid(distance=ball(0.6), colour=plain(*ORANGE))
    blue = Solid(distance=ball(0.6), colour=plain(*BLUE))
    orbit = photograph(solid).select(views)
    mesh = bake(unwrapped(solid), blue, orbit, SIZE)
    points = face_centres(mesh)
    sight = F.normalize(orbit.cameras.c2w[0, :3, 3] - points, dim=-1)
    cosine = (F.normalize(points, dim=-1) * sight).sum(dim=-1)
    steep = ((cosine > 0.13) & (cosine < 0.17)).numpy()
    assert steep.sum() > 20
    # Beside it the field's colour begins to show through that of the frames, and spreads too.
    away, near = (
        np.linalg.norm(face_colours(mesh)[steep] - 255 * np.array(colour), axis=1)
        for colour in (other, wanted)
    )
    assert (near < 0.5 * away).all()


def test_what_nobody_sees_has_the_colours_around_it_and_not_the_fields_noise() -> None:
    solid = Solid(distance=ball(0.6), colour=plain(*ORANGE))

    def noise(points: torch.Tensor) -> torch.Tensor:
        hidden = points[..., 1:2] < -0.5
        grain = 0.25 * (60 * points[..., :1]).sin() * (60 * points[..., 2:]).sin()
        return torch.where(hidden, 0.4 + grain, points.new_tensor(ORANGE))

    noisy = Solid(distance=solid.distance, colour=noise)
    orbit = photograph(solid, elevation=0.6)
    mesh = bake(unwrapped(solid), noisy, orbit, SIZE)
    assert np.abs(mesh.texture.astype(float) - 255 * np.array(ORANGE)).max() <= 4
    # Unless the field has learnt from other views what is there: without its grain.
    below = photograph(solid, elevation=-0.6).cameras
    mesh = bake(unwrapped(solid), noisy, orbit, SIZE, (below,))
    colours = face_colours(mesh)[(face_centres(mesh)[:, 1] < -0.56).numpy()]
    assert np.abs(colours.mean(axis=0) - 255 * 0.4).max() < 20
    assert colours.std(axis=0).max() < 15


def test_a_part_in_front_leaves_no_colour_on_the_part_behind() -> None:
    red, green = (0.9, 0.1, 0.1), (0.1, 0.8, 0.1)
    distance = union(ball(0.3, (0.0, 0.0, 0.5)), ball(0.4, (0.0, 0.0, -0.35)))

    def colour(points: torch.Tensor) -> torch.Tensor:
        front = points[..., 2:] > 0.1
        return torch.where(front, points.new_tensor(red), points.new_tensor(green))

    solid = Solid(distance=distance, colour=colour)
    mesh = bake(unwrapped(solid), solid, photograph(solid), SIZE)
    wanted = 255 * colour(face_centres(mesh)).numpy()
    error = np.abs(face_colours(mesh) - wanted).max(axis=1)
    assert np.quantile(error, 0.995) <= 4
    assert error.max() <= 40


def test_normals_of_a_ball_point_away_from_its_centre() -> None:
    mesh = extract_mesh(Solid(distance=ball(0.6), colour=plain(*ORANGE)), MeshConfig())
    normals = vertex_normals(mesh.vertices, mesh.faces)
    cosine = (normals * mesh.vertices).sum(axis=1) / np.linalg.norm(mesh.vertices, axis=1)
    assert np.quantile(cosine, 0.01) > np.cos(np.radians(3))
    assert cosine.min() > np.cos(np.radians(10))
