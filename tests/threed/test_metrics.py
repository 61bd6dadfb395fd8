import math

import numpy as np
import pytest
import torch
import trimesh
from skimage.metrics import structural_similarity
from torch.testing import assert_close

from threed.cameras import orbit_cameras
from threed.metrics import (
    alpha_box,
    chamfer,
    compare_surfaces,
    f_score,
    nearest_distances,
    psnr,
    psnr_in_box,
    sample_surface,
    ssim,
    volume_iou,
)
from threed.orbit import OrbitVideo


def box(extent: float, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box((extent,) * 3)
    return np.asarray(mesh.vertices) + [shift, 0, 0], np.asarray(mesh.faces)


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_psnr_of_a_constant_error_is_its_decibels(error: float) -> None:
    picture = torch.full((2, 8, 8, 3), 0.5)
    assert_close(psnr(picture, picture + error), torch.full((2,), -20 * math.log10(error)))


def test_psnr_in_box_ignores_what_lies_outside() -> None:
    cameras = orbit_cameras(2, size=32)
    alpha = torch.zeros(2, 32, 32)
    alpha[:, 10:16, 12:20] = 1
    truth = OrbitVideo(
        albedo=0.5 * alpha[..., None].expand(-1, -1, -1, 3),
        alpha=alpha,
        normals=None,
        cameras=cameras,
    )
    albedo = truth.albedo + 0.1
    albedo[:, :5] = 1.0
    rendered = OrbitVideo(albedo=albedo, alpha=alpha, normals=None, cameras=cameras)
    assert_close(psnr_in_box(rendered, truth), torch.full((2,), 20.0))


def test_box_is_the_bounding_box_widened_even_about_a_hollow() -> None:
    alpha = torch.zeros(1, 32, 32)
    alpha[0, 10, 10] = alpha[0, 20, 15] = 1
    inside = alpha_box(alpha)
    assert int(inside.sum()) == (20 - 10 + 1 + 8) * (15 - 10 + 1 + 8)
    assert bool(inside[0, 6:25, 6:20].all())
    assert bool(alpha_box(torch.zeros(1, 5, 5)).all())


def test_ssim_agrees_with_scikit_image() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(1, 40, 36, 3, generator=generator, dtype=torch.float64)
    second = (first + 0.2 * torch.rand(first.shape, generator=generator)).clamp(0, 1)
    _, full = structural_similarity(
        first[0].numpy(),
        second[0].numpy(),
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    assert_close(float(ssim(first, second)[0]), float(full[5:-5, 5:-5].mean()), atol=1e-6, rtol=0)


def test_samples_spread_evenly_over_the_area() -> None:
    vertices = np.array([[0.0, 0, 0], [4, 0, 0], [0, 3, 0], [0, 0, 9], [1, 0, 9], [0, 1, 9]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    points = sample_surface(vertices, faces, 40_000, np.random.default_rng(0))
    large = points[:, 2] < 1
    assert abs(large.mean() - 6 / 6.5) < 0.01
    np.testing.assert_allclose(points[large].mean(axis=0), [4 / 3, 1, 0], atol=0.02)


def test_shifted_planes_have_the_shift_as_their_chamfer() -> None:
    side = np.linspace(0, 1, 60)
    x, y = np.meshgrid(side, side)
    plane = np.stack([x.ravel(), y.ravel(), np.zeros(3600)], axis=-1)
    there = nearest_distances(plane, plane + [0, 0, 0.05])
    assert math.isclose(chamfer(there, there), 0.05)
    assert f_score(there, there, 0.04) == 0
    assert f_score(there, there, 0.06) == 1


def test_f_score_is_the_harmonic_mean() -> None:
    there, back = np.array([0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    assert math.isclose(f_score(there, back, 0.5), 2 / (1 / 0.5 + 1 / 0.75))


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_iou_of_shifted_boxes_is_exact(shift: float) -> None:
    iou = volume_iou(*box(1.0), *box(1.0, shift))
    assert abs(iou - (1 - shift) / (1 + shift)) < 0.03


def test_a_mesh_agrees_with_itself_however_cut() -> None:
    whole = trimesh.creation.icosphere(subdivisions=3, radius=0.7)
    cut = whole.subdivide()
    scores = compare_surfaces(
        np.asarray(whole.vertices),
        np.asarray(whole.faces),
        np.asarray(cut.vertices),
        np.asarray(cut.faces),
        num_samples=20_000,
    )
    assert scores.iou > 0.999
    # What is left is the gap between random samples: by Poisson's law, of mean half over the root
    # of their density.
    density = 20_000 / (4 * math.pi * 0.7**2)
    assert math.isclose(scores.chamfer, 0.5 / math.sqrt(density), rel_tol=0.03)
    assert abs(scores.f_score - (1 - math.exp(-density * math.pi * 0.02**2))) < 0.005
