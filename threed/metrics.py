"""How near a picture is to a picture, and a surface to a surface."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.orbit import OrbitVideo

BOX_MARGIN = 4


def psnr(
    first: Float[Tensor, "view height width 3"], second: Float[Tensor, "view height width 3"]
) -> Float[Tensor, " view"]:
    """Return the peak signal-to-noise ratio of each view, dB, for values in [0, 1]."""
    return _decibel((first - second).square().mean(dim=(1, 2, 3)))


def psnr_in_box(rendered: OrbitVideo, truth: OrbitVideo) -> Float[Tensor, " view"]:
    """Return the PSNR of each view inside the box of its true alpha, four pixels wider, dB.

    Colours are compared premultiplied, over black; a view without an object counts whole.
    """
    error = (rendered.albedo - truth.albedo).square().mean(dim=-1)
    inside = alpha_box(truth.alpha)
    return _decibel((error * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)))


def alpha_box(
    alpha: Float[Tensor, "view height width"], margin: int = BOX_MARGIN
) -> Bool[Tensor, "view height width"]:
    """Return the pixels of each view's bounding box of alpha, widened; all if there is none."""
    solid = alpha > 0.02
    widened = F.max_pool2d(solid.float()[:, None], 2 * margin + 1, 1, margin)[:, 0] > 0
    rows, columns = widened.any(dim=2), widened.any(dim=1)
    box = _span(rows)[:, :, None] & _span(columns)[:, None, :]
    return box | ~solid.flatten(1).any(dim=1)[:, None, None]


def _span(hit: Bool[Tensor, "view place"]) -> Bool[Tensor, "view place"]:
    """Return everything from the first hit to the last."""
    forward = hit.int().cumsum(dim=1)
    return (forward > 0) & (hit.int().flip(1).cumsum(dim=1).flip(1) > 0)


def _decibel(mean_square: Float[Tensor, " view"]) -> Float[Tensor, " view"]:
    return -10 * torch.log10(mean_square.clamp(min=1e-10))


def ssim(
    first: Float[Tensor, "view height width 3"], second: Float[Tensor, "view height width 3"]
) -> Float[Tensor, " view"]:
    """Return the structural similarity of each view: Wang et al. 2004, equation 13.

    A Gaussian window of 11 pixels and deviation 1.5, only where the window fits.
    """
    offset = torch.arange(11, dtype=first.dtype, device=first.device) - 5
    line = torch.exp(-0.5 * (offset / 1.5).square())
    line = line / line.sum()
    window = (line[:, None] * line[None, :]).expand(3, 1, 11, 11)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, window, groups=3)

    a, b = (rearrange(image, "v h w c -> v c h w") for image in (first, second))
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    bright, contrast = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + bright) * (2 * covariance + contrast)
    score = score / (mean_a**2 + mean_b**2 + bright)
    return (score / (variance_a + variance_b + contrast)).mean(dim=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class SurfaceScores:
    """How near two surfaces are; see the functions of the same names."""

    chamfer: float
    f_score: float
    iou: float


def compare_surfaces(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    true_vertices: Float[np.ndarray, "true_vertex 3"],
    true_faces: Int[np.ndarray, "true_face 3"],
    *,
    num_samples: int = 100_000,
    threshold: float = 0.02,
) -> SurfaceScores:
    """Return all scores of a mesh against the truth, on samples drawn with a fixed seed."""
    generator = np.random.default_rng(0)
    ours = sample_surface(vertices, faces, num_samples, generator)
    true = sample_surface(true_vertices, true_faces, num_samples, generator)
    there, back = nearest_distances(ours, true), nearest_distances(true, ours)
    return SurfaceScores(
        chamfer=chamfer(there, back),
        f_score=f_score(there, back, threshold),
        iou=volume_iou(vertices, faces, true_vertices, true_faces),
    )


def sample_surface(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    count: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "sample 3"]:
    """Return points spread evenly by area over a mesh."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    chosen = generator.choice(len(faces), size=count, p=area / area.sum())
    u, v = generator.random((2, count, 1))
    # The square root makes the density even; without it points crowd about one corner.
    u = np.sqrt(u)
    return (1 - u) * a[chosen] + u * (1 - v) * b[chosen] + u * v * c[chosen]


def nearest_distances(
    points: Float[np.ndarray, "sample 3"], targets: Float[np.ndarray, "target 3"]
) -> Float[np.ndarray, " sample"]:
    """Return each point's distance to the nearest target."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    return cKDTree(targets).query(points)[0]


def chamfer(there: Float[np.ndarray, " sample"], back: Float[np.ndarray, " target"]) -> float:
    """Return the mean of both mean distances, world units."""
    return float(0.5 * (there.mean() + back.mean()))


def f_score(
    there: Float[np.ndarray, " sample"], back: Float[np.ndarray, " target"], threshold: float
) -> float:
    """Return the harmonic mean of the shares of points within a threshold, both ways."""
    precision, recall = float((there < threshold).mean()), float((back < threshold).mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)


def volume_iou(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    true_vertices: Float[np.ndarray, "true_vertex 3"],
    true_faces: Int[np.ndarray, "true_face 3"],
    resolution: int = 96,
) -> float:
    """Return the share of the union of two solids that both fill, counted on a grid.

    Both meshes should be closed; an open one is judged by most of a few rays from each point.
    """
    both = np.concatenate([vertices, true_vertices])
    low, high = both.min(axis=0), both.max(axis=0)
    half = 0.5 / resolution
    axes = [np.linspace(lo, hi, resolution) for lo, hi in zip(low - half, high + half, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    ours = _occupied(vertices, faces, points)
    true = _occupied(true_vertices, true_faces, points)
    return float((ours & true).sum() / max((ours | true).sum(), 1))


def _occupied(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    points: Float[np.ndarray, "sample 3"],
) -> Bool[np.ndarray, " sample"]:
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        open3d.core.Tensor(vertices.astype(np.float32)),  # pyright: ignore[reportCallIssue]
        open3d.core.Tensor(faces.astype(np.uint32)),  # pyright: ignore[reportCallIssue]
    )
    query = open3d.core.Tensor(points.astype(np.float32))  # pyright: ignore[reportCallIssue]
    return scene.compute_occupancy(query, nsamples=3).numpy() > 0.5
