"""UVs, and the colour of every texel from the frames that see it.

The texture is sRGB, as the frames are; nothing here converts it. Row 0 of the texture is its top
and v points up, as in trimesh; the GLB's exporter turns v.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import xatlas
from einops import rearrange
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras, project
from threed.mesh import Mesh, Surface
from threed.orbit import OrbitVideo
from threed.rasterize import rasterize
from threed.surface_fill import spread_known
from threed.textured_mesh import TexturedMesh

ATLAS_SIZE, ATLAS_PADDING = 1024, 4
# Charts that may grow without end cost seconds and gain nothing: xatlas tries every border face
# again each time that a chart grows. As a share of the whole surface.
MAX_CHART_SHARE = 0.03
# A view counts by the fourth power of the cosine between normal and line of sight, and not at all
# where the surface is steeper than about 78 degrees.
VIEW_POWER, MIN_COSINE = 4, 0.2
# A point that no view sees less steeply than this, some 84 degrees, has never told the field its
# colour. Nor has one that a single view sees so, for where along that one ray the colour lies
# nobody else says: it would be a speck.
GLIMPSE_COSINE, LEAST_GLIMPSES = 0.1, 2
# What other views than the frames have taught the field is true in the large and has a grain: it is
# smoothed over such a length.
TAUGHT_LENGTH = 0.1
# What one of an orbit's views looks at, its neighbours do: one of three is asked.
TAUGHT_VIEWS_APART = 3
# The field's colour counts as much as a view at some 80 degrees, so that it fills in smoothly
# where all views are steep or see but an edge, and nowhere else.
FIELD_WEIGHT = 1e-3
SOLID_ALPHA = 0.5
# Depth is drawn at so many samples a pixel side: thin parts must not fall between pixel centres.
DEPTH_SAMPLES = 2


@dataclass(frozen=True, kw_only=True)
class UnwrappedMesh:
    """A mesh cut along its seams: a vertex that two charts share stands here twice."""

    vertices: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    """Unit vertex normals, outward; the same on both sides of a seam."""
    uv: Float[np.ndarray, "vertex 2"]
    """In [0, 1], v up."""
    faces: Int[np.ndarray, "face 3"]


def vertex_normals(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "vertex 3"]:
    """Return unit normals at vertices, the mean of the faces around weighted by area.

    By area, not by angle: slivers that simplification leaves may point anywhere.
    """
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    face_normal = np.cross(b - a, c - a)
    total = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(total, faces[:, corner], face_normal)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # Opposite faces of a sliver may cancel; any unit vector is then as good as another.
    total = np.where(length > 1e-20, total, [[0.0, 1.0, 0.0]])
    return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)


def unwrap(mesh: Mesh) -> UnwrappedMesh:
    """Return the mesh with UV charts by xatlas, packed into one square without overlap."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    charts = xatlas.ChartOptions()
    charts.max_chart_area = MAX_CHART_SHARE * float(
        0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    )
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = ATLAS_SIZE, ATLAS_PADDING, True
    # Every place is tried, on a grid of blocks: a tenth more texels on the surface for a fifth of a
    # second; without the grid it would take seconds.
    packing.bruteForce = packing.blockAlign = True
    atlas.generate(charts, packing)
    source, faces, uv = atlas[0]
    normals = vertex_normals(mesh.vertices, mesh.faces)
    return UnwrappedMesh(
        vertices=mesh.vertices[source],
        normals=normals[source],
        uv=np.clip(uv, 0, 1).astype(np.float32),
        faces=faces.astype(np.int64),
    )


def bake(
    mesh: UnwrappedMesh,
    field: Surface,
    orbit: OrbitVideo,
    size: int,
    taught: tuple[Cameras, ...] = (),
) -> TexturedMesh:
    """Return the mesh with a square texture of `size` texels a side.

    A texel takes the mean of the frames that see it, by view angle. Where few do, and all of them
    steeply, the field's albedo enters; where none looks, or but one and steeply, the colours around
    are spread over the surface, and the field's enters as far as others have taught it. Gutters
    repeat the nearest chart's edge.

    Args:
        mesh: The surface with its UVs.
        field: What the frames have taught.
        orbit: The frames.
        size: Texels along a side.
        taught: Other cameras whose views have taught the field its colour.
    """
    device = orbit.albedo.device
    vertices = torch.from_numpy(mesh.vertices).to(device)
    normals = torch.from_numpy(mesh.normals).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    texels, covered = _texels(torch.from_numpy(mesh.uv).to(device), faces, size)
    face, barycentric = texels
    points = torch.einsum("tk,tkc->tc", barycentric, vertices[faces[face]])
    normal = F.normalize(
        torch.einsum("tk,tkc->tc", barycentric, normals[faces[face]]), dim=-1, eps=1e-12
    )
    # Vertices beside the texels: from them colours spread to where nobody looks.
    places, turned = torch.cat([points, vertices]), torch.cat([normal, normals])
    colour, weight, seen = _colour_from_frames(places, turned, vertices, faces, orbit)
    with torch.no_grad():
        chunks = places.to(field.bounds.device).split(1 << 18)
        learnt = torch.cat([field.albedo(chunk) for chunk in chunks]).to(device)
    colour = (colour + FIELD_WEIGHT * learnt) / (weight + FIELD_WEIGHT)[:, None]
    colour, at_vertices = colour.split([len(points), len(vertices)])
    seen, known = seen.split([len(points), len(vertices)])
    trust = torch.zeros(len(vertices))
    edge = (vertices[faces] - vertices[faces.roll(1, dims=1)]).norm(dim=-1).mean()
    for cameras in taught:
        for view in range(0, len(cameras), TAUGHT_VIEWS_APART):
            there, *_ = _seen_by(cameras[[view]], vertices, normals, vertices, faces)
            trust[there.cpu()] = float(edge / TAUGHT_LENGTH) ** 2
    spread = spread_known(
        mesh.vertices,
        mesh.faces,
        at_vertices.double().cpu().numpy(),
        known.cpu().numpy(),
        trust.numpy(),
    )
    spread = torch.from_numpy(spread).to(colour)
    filled = torch.einsum("tk,tkc->tc", barycentric, spread[faces[face]])
    colour = torch.where(seen[:, None], colour, filled)

    image = np.zeros((size, size, 3), dtype=np.uint8)
    mask = covered.cpu().numpy()
    image[mask] = (colour.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return TexturedMesh(
        vertices=mesh.vertices,
        normals=mesh.normals,
        uv=mesh.uv,
        faces=mesh.faces,
        texture=_filled(image, mask),
    )


def _texels(
    uv: Float[Tensor, "vertex 2"], faces: Int[Tensor, "face 3"], size: int
) -> tuple[tuple[Int[Tensor, " texel"], Float[Tensor, "texel 3"]], Bool[Tensor, "size size"]]:
    """Return face and barycentric weights of each covered texel's centre, and which are covered.

    A face so thin that it lies between the centres, perhaps a chart of its own, covers the texel
    of its own middle if no other does: else it would show another chart's colour.
    """
    # The chart plane seen by a camera whose picture is just the unit square: at a constant depth
    # a perspective view is an affine map.
    flat = torch.cat([uv - 0.5, torch.zeros_like(uv[:, :1])], dim=-1)
    c2w = torch.eye(4, device=uv.device)[None].clone()
    c2w[:, 2, 3] = 0.5
    fov = torch.full((1,), math.pi / 2, device=uv.device)
    fragments = rasterize(flat, faces, Cameras(c2w=c2w, fov_y=fov, width=size, height=size))
    face, barycentric = fragments.face[0], fragments.barycentric[0]
    middle = uv[faces].mean(dim=1)
    place = torch.stack([1 - middle[:, 1], middle[:, 0]], dim=1) * size
    row, column = place.long().clamp(0, size - 1).unbind(dim=1)
    missed = (face[row, column] < 0).nonzero()[:, 0]
    row, column = row[missed], column[missed]
    # Of several faces in one texel the highest index wins, on every device.
    face.view(-1).scatter_reduce_(0, row * size + column, missed, "amax")
    barycentric[row, column] = 1 / 3
    covered = face >= 0
    return (face[covered], barycentric[covered]), covered


def _colour_from_frames(
    points: Float[Tensor, "point 3"],
    normals: Float[Tensor, "point 3"],
    vertices: Float[Tensor, "vertex 3"],
    faces: Int[Tensor, "face 3"],
    orbit: OrbitVideo,
) -> tuple[Float[Tensor, "point 3"], Float[Tensor, " point"], Bool[Tensor, " point"]]:
    """Return the weighted sum of what the frames show at each point, the sum of weights, and
    which points they see: two of them at all, or one not steeply.
    """
    straight = _straight_colours(orbit)
    total = torch.zeros_like(points)
    weight = points.new_zeros(len(points))
    glimpses = torch.zeros_like(weight, dtype=torch.int)
    for view in range(orbit.num_frames):
        camera = orbit.cameras[[view]]
        seen, cosine, grid, surface = _seen_by(camera, points, normals, vertices, faces)
        glimpses[seen] += 1
        well = cosine > MIN_COSINE
        seen, cosine, grid = seen[well], cosine[well], grid[well]
        inner = _inner_pixels(orbit.alpha[view], surface, camera)
        # Bilinear, so that a view fades out towards an edge of the picture and leaves no seam.
        trust = _look(inner[None, ..., None], grid, "bilinear")[:, 0]
        strength = cosine**VIEW_POWER * trust
        colour = _look(straight[[view]], grid, "bilinear")
        total.index_add_(0, seen, strength[:, None] * colour)
        weight.index_add_(0, seen, strength)
    return total, weight, (glimpses >= LEAST_GLIMPSES) | (weight > FIELD_WEIGHT)


def _seen_by(
    camera: Cameras,
    points: Float[Tensor, "point 3"],
    normals: Float[Tensor, "point 3"],
    vertices: Float[Tensor, "vertex 3"],
    faces: Int[Tensor, "face 3"],
) -> tuple[
    Int[Tensor, " seen"],
    Float[Tensor, " seen"],
    Float[Tensor, "seen 2"],
    Float[Tensor, "rows columns"],
]:
    """Return which points one camera sees, how squarely, where in its picture, and its depths.

    Squarely is the cosine between normal and line of sight, above GLIMPSE_COSINE; the place lies in
    [-1, 1]; depths have DEPTH_SAMPLES a pixel side.
    """
    fine = camera.resized(DEPTH_SAMPLES * camera.width, DEPTH_SAMPLES * camera.height)
    to_camera = F.normalize(camera.c2w[0, :3, 3] - points, dim=-1)
    cosine = (normals * to_camera).sum(dim=-1)
    seen = (cosine > GLIMPSE_COSINE).nonzero()[:, 0]
    cosine = cosine[seen]
    pixels, depth = project(points[seen], camera)
    grid = pixels[0] / pixels.new_tensor([camera.width, camera.height]) * 2 - 1
    # An orthographic pixel's width at the surface; a slanted surface's depth changes by its
    # tangent over that width, which the inverse cosine bounds.
    footprint = depth[0] / camera.focal / DEPTH_SAMPLES
    surface = rasterize(vertices, faces, fine).depth
    slack = footprint * (0.5 + 1 / cosine)
    visible = _look(surface[..., None], grid, "nearest")[:, 0] + slack >= depth[0]
    visible &= (grid.abs() < 1).all(dim=-1) & (depth[0] > 0)
    return seen[visible], cosine[visible], grid[visible], surface[0]


def _look(
    image: Float[Tensor, "1 height width channel"], grid: Float[Tensor, "texel 2"], mode: str
) -> Float[Tensor, "texel channel"]:
    """Return an image's values at places in [-1, 1], edges of the picture repeated outside."""
    values = F.grid_sample(
        rearrange(image, "n h w c -> n c h w"),
        grid[None, None],
        mode=mode,
        padding_mode="border",
        align_corners=False,
    )
    return rearrange(values, "1 c 1 t -> t c")


def _straight_colours(orbit: OrbitVideo) -> Float[Tensor, "frame height width 3"]:
    """Return colours not multiplied by alpha, those of the object repeated over the background."""
    solid = orbit.alpha > SOLID_ALPHA
    straight = (orbit.albedo / orbit.alpha.clamp(min=SOLID_ALPHA)[..., None]).clamp(0, 1)
    frames = []
    for frame, mask in zip(straight.cpu().numpy(), solid.cpu().numpy(), strict=True):
        frames.append(_filled(frame, mask))
    return torch.from_numpy(np.stack(frames)).to(orbit.albedo.device)


def _inner_pixels(
    alpha: Float[Tensor, "height width"],
    fine_depth: Float[Tensor, "rows columns"],
    camera: Cameras,
) -> Float[Tensor, "height width"]:
    """Return 1 for pixels that, with a pixel around them, show one surface alone, else 0.

    Left out is the rim of the mask and, inside it, where one part stands before another.

    Args:
        alpha: Of one frame.
        fine_depth: DEPTH_SAMPLES a pixel side.
        camera: Of the frame.
    """
    opaque = -F.max_pool2d(-alpha[None, None], 3, stride=1, padding=1) > 0.95
    reach = 2 * DEPTH_SAMPLES + 1
    far = F.max_pool2d(fine_depth[None, None], reach, stride=1, padding=DEPTH_SAMPLES)
    near = -F.max_pool2d(-fine_depth[None, None], reach, stride=1, padding=DEPTH_SAMPLES)
    # As much as the depth of a surface at the least cosine changes across the diagonal, not more;
    # an infinite depth is a step as well.
    slope = math.sqrt(2) * (reach - 1) / MIN_COSINE / (DEPTH_SAMPLES * camera.focal)
    step = F.max_pool2d((far - near > slope * near).float(), DEPTH_SAMPLES)
    return (opaque & (step == 0))[0, 0].float()


def _filled(image: np.ndarray, mask: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """Return the image with each pixel outside the mask a copy of the nearest one inside."""
    if mask.all() or not mask.any():
        return image
    nearest = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return image[tuple(nearest)]  # pyright: ignore[reportArgumentType]
