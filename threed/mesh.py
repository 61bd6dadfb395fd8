"""From a signed distance to a closed triangle mesh: level set, parts, smoothing, simplification."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import fast_simplification
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes
from torch import Tensor
from torch.nn import functional as F

from threed.errors import ReconstructionError
from threed.manifold import part_touching_sheets

MIN_FACES = 500
MAX_RESOLUTION = 512
# Fine samples between two coarse ones, and points that one call of the field gets at most.
COARSE_STRIDE = 4
CHUNK = 1 << 19
ADVICE = (
    "Try another seed, more frames or a plainer prompt; for a clip of your own, one that turns "
    "once around a single object on a plain background."
)


@runtime_checkable
class Surface(Protocol):
    """What a field must tell so that its surface can be taken and coloured."""

    @property
    def bounds(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of a world box that holds the surface."""
        ...

    def signed_distance(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """World distance to the surface, negative inside."""
        ...

    def albedo(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Straight sRGB colour in [0, 1]."""
        ...


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How the surface is taken."""

    max_faces: int = 20_000
    """Triangles that the mesh may have; at least 500."""
    resolution: int = 144
    """Grid cells along the longest side of the box that holds the surface."""
    min_part_share: float = 0.02
    """Parts with a smaller share of the whole surface's area are dropped as floaters."""
    smoothing_rounds: int = 4
    """Rounds of Taubin smoothing before simplification; 0 is none."""

    def __post_init__(self) -> None:
        if self.max_faces < MIN_FACES:
            raise ValueError(f"max_faces is {self.max_faces}; at least {MIN_FACES}")
        if not 16 <= self.resolution <= MAX_RESOLUTION:
            raise ValueError(f"resolution is {self.resolution}; allowed are 16 to {MAX_RESOLUTION}")
        if not 0 <= self.min_part_share < 1:
            raise ValueError(f"min_part_share is {self.min_part_share}; it must lie in [0, 1)")
        if not 0 <= self.smoothing_rounds <= 100:
            raise ValueError(f"smoothing_rounds is {self.smoothing_rounds}; allowed are 0 to 100")


def resolution_for(max_faces: int) -> int:
    """Return the grid cells that it takes for a slender object to have so many faces at all."""
    # The level set of a pole has some 1.7 faces for each square of the resolution, of a ball more
    # than thrice that; memory grows with its cube.
    usual, most = MeshConfig().resolution, 320
    return int(min(most, max(usual, usual * (max_faces / 34_000) ** 0.5)))


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Triangles in world coordinates, anticlockwise seen from outside."""

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]


def extract_mesh(field: Surface, config: MeshConfig) -> Mesh:
    """Return the closed surface at the zero of a field's signed distance.

    Raises:
        ReconstructionError: The field has no surface inside its bounds.
    """
    vertices, faces = _level_set(field, config.resolution)
    vertices, faces = _without_floaters(vertices, faces, config.min_part_share)
    if config.smoothing_rounds:
        vertices = _taubin(vertices, faces, config.smoothing_rounds)
    vertices, faces = _simplified(vertices, faces, config.max_faces)
    # The float32 that a GLB holds, from here on, so that all later stages see the very same mesh.
    return Mesh(vertices=vertices.astype(np.float32), faces=faces)


def simplify(mesh: Mesh, max_faces: int) -> Mesh:
    """Return a closed mesh with at most so many faces, as closed as it came."""
    vertices, faces = _simplified(mesh.vertices.astype(np.float64), mesh.faces, max_faces)
    return Mesh(vertices=vertices.astype(np.float32), faces=faces)


def _simplified(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], max_faces: int
) -> tuple[Float[np.ndarray, "new_vertex 3"], Int[np.ndarray, "new_face 3"]]:
    """Return the mesh by edge collapse with at most so many faces, as closed as it came."""
    target = max_faces
    while True:
        new_vertices, new_faces = vertices, faces
        if len(faces) > target:
            new_vertices, new_faces = fast_simplification.simplify(  # pyright: ignore[reportAssignmentType]
                vertices.astype(np.float32),  # pyright: ignore[reportArgumentType]
                faces.astype(np.int32),
                target_count=target,  # pyright: ignore[reportArgumentType]
            )
        new_vertices, new_faces = part_touching_sheets(
            new_vertices.astype(np.float64), new_faces.astype(np.int64)
        )
        # Parting sheets may add a face here and there, and collapse stops early on knots.
        excess = len(new_faces) - max_faces
        if excess <= 0 or target < max_faces // 2:
            return new_vertices, new_faces
        target -= excess


def _evaluate(field: Surface, points: Float[Tensor, "point 3"]) -> Float[Tensor, " point"]:
    with torch.no_grad():
        return torch.cat([field.signed_distance(chunk) for chunk in points.split(CHUNK)])


def _grid_points(
    low: Float[Tensor, " 3"], spacing: float, index: Int[Tensor, "point 3"]
) -> Float[Tensor, "point 3"]:
    return low + spacing * index.to(low.dtype)


def _lattice(counts: list[int], device: torch.device) -> Int[Tensor, "point 3"]:
    """Return the integer coordinates of a grid with so many points a side, in row-major order."""
    axes = torch.meshgrid(*[torch.arange(n, device=device) for n in counts], indexing="ij")
    return rearrange(torch.stack(axes, dim=-1), "x y z c -> (x y z) c")


def _tight_box(field: Surface) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
    """Return corners of a box about everything that may touch the inside, on a coarse look."""
    low, high = field.bounds.float().unbind(dim=0)
    extent = high - low
    spacing = float(extent.max()) / 48
    counts = [int(n) + 1 for n in (extent / spacing).ceil().tolist()]
    points = _grid_points(low, spacing, _lattice(counts, low.device))
    distance = _evaluate(field, points)
    near = points[distance < spacing * 3**0.5]
    if len(near) == 0 or not bool((distance > 0).any()):
        found = "no inside" if len(near) == 0 else "no outside"
        raise ReconstructionError(f"The views gave no surface (the field has {found}). {ADVICE}")
    low = torch.maximum(near.amin(dim=0) - spacing, low)
    high = torch.minimum(near.amax(dim=0) + spacing, high)
    return low, high


def _level_set(
    field: Surface, resolution: int
) -> tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"]]:
    """Return the zero level set by marching cubes, closed where it meets the field's bounds.

    A coarse grid comes first; the field is asked again only near the surface.
    """
    low, high = _tight_box(field)
    spacing = float((high - low).max()) / resolution
    coarse = [int(n) + 1 for n in ((high - low) / (COARSE_STRIDE * spacing)).ceil().tolist()]
    index = _lattice(coarse, low.device)
    values = _evaluate(field, _grid_points(low, COARSE_STRIDE * spacing, index)).view(coarse)
    counts = [(n - 1) * COARSE_STRIDE + 1 for n in coarse]
    grid = F.interpolate(values[None, None], size=counts, mode="trilinear", align_corners=True)
    grid = grid[0, 0]
    # A true distance changes by at most the way gone; a quarter more allows for a fitted one.
    band = grid.abs() < 1.25 * 3**0.5 * COARSE_STRIDE * spacing
    grid[band] = _evaluate(field, _grid_points(low, spacing, band.nonzero()))

    array = grid.cpu().numpy().astype(np.float64)
    # A zero exactly at a grid point would make triangles without area.
    tiny = 1e-3 * spacing
    array = np.where(np.abs(array) < tiny, np.where(array < 0, -tiny, tiny), array)
    # A rim of outside closes what runs out of the box.
    array = np.pad(array, 1, constant_values=spacing)
    if array.min() >= 0:
        raise ReconstructionError(f"The views gave no surface (the field has no inside). {ADVICE}")
    vertices, faces, _, _ = marching_cubes(array, 0.0, gradient_direction="descent")
    world = low.cpu().numpy().astype(np.float64) + (vertices.astype(np.float64) - 1) * spacing
    return world, faces.astype(np.int64)


def _without_floaters(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], min_share: float
) -> tuple[Float[np.ndarray, "kept 3"], Int[np.ndarray, "kept_face 3"]]:
    """Return the mesh without small parts and without hollows, which nobody can see."""
    _, part = connected_components(_adjacency(len(vertices), faces), directed=False)
    part_of_face = part[faces[:, 0]]
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.bincount(part_of_face, 0.5 * np.linalg.norm(normal, axis=1))
    volume = np.bincount(part_of_face, (a * normal).sum(axis=1) / 6)
    keep = (volume > 0) & (area >= min_share * area[volume > 0].sum())
    faces = faces[keep[part_of_face]]
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def _adjacency(num_vertices: int, faces: Int[np.ndarray, "face 3"]) -> csr_matrix:
    """Return the symmetric 0/1 matrix of vertices joined by an edge."""
    start = faces.ravel()
    end = np.roll(faces, -1, axis=1).ravel()
    ones = np.ones(2 * len(start))
    ends = (np.concatenate([start, end]), np.concatenate([end, start]))
    matrix = coo_matrix((ones, ends), shape=(num_vertices, num_vertices)).tocsr()
    matrix.data[:] = 1
    return matrix  # pyright: ignore[reportReturnType]


def _taubin(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], rounds: int
) -> Float[np.ndarray, "vertex 3"]:
    """Return vertices with the grid's steps smoothed out, without shrinking.

    Taubin, "A signal processing approach to fair surface design", with its lambda and mu.
    """
    adjacency = _adjacency(len(vertices), faces)
    mean = diags(1 / np.asarray(adjacency.sum(axis=1)).ravel()) @ adjacency
    for _ in range(rounds):
        for step in (0.5, -0.53):
            vertices = vertices + step * (mean @ vertices - vertices)
    return vertices
