"""The mesh as it looks: a turntable drawn in torch, for previews and for checks."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import DEFAULT_ELEVATION, Cameras, orbit_cameras
from threed.export import write_whole
from threed.orbit import OrbitVideo, shade
from threed.rasterize import average_samples, rasterize
from threed.textured_mesh import TexturedMesh
from threed.upright import Up, upright

SAMPLES = 2


def render_mesh(mesh: TexturedMesh, cameras: Cameras) -> OrbitVideo:
    """Return what the cameras see of a textured mesh: albedo, alpha and normals, antialiased."""
    fine = cameras.resized(SAMPLES * cameras.width, SAMPLES * cameras.height)
    device = cameras.c2w.device
    vertices = torch.from_numpy(mesh.vertices).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    corners = torch.cat(
        [torch.from_numpy(mesh.uv).to(device), torch.from_numpy(mesh.normals).to(device)], dim=-1
    )[faces]
    texture = torch.from_numpy(mesh.texture).to(device).float().permute(2, 0, 1)[None] / 255
    layers: list[Tensor] = []
    for view in range(len(cameras)):
        fragments = rasterize(vertices, faces, fine[[view]])
        hit = fragments.face >= 0
        values = torch.einsum(
            "pk,pkc->pc", fragments.barycentric[hit], corners[fragments.face[hit]]
        )
        grid = torch.stack([values[:, 0], 1 - values[:, 1]], dim=-1) * 2 - 1
        colour = F.grid_sample(
            texture, grid[None, None], padding_mode="border", align_corners=False
        )
        image = vertices.new_zeros(*hit.shape, 7)
        image[hit] = torch.cat(
            [
                colour[0, :, 0].T,
                F.normalize(values[:, 2:], dim=-1, eps=1e-6),
                torch.ones_like(values[:, :1]),
            ],
            dim=-1,
        )
        layers.append(average_samples(image, SAMPLES))
    frames = torch.cat(layers)
    return OrbitVideo(
        albedo=frames[..., :3], alpha=frames[..., 6], normals=frames[..., 3:6], cameras=cameras
    )


def turntable(
    mesh: TexturedMesh,
    *,
    num_frames: int = 36,
    size: int = 256,
    elevation: float = DEFAULT_ELEVATION,
    up: Up = "y",
    unlit: bool = False,
    background: float = 1.0,
) -> UInt8[np.ndarray, "frame height width 3"]:
    """Return display frames of one turn about the mesh, which fills the picture wherever it stands.

    Args:
        mesh: The mesh; the first frame sees it from +z, or from -y where z is up.
        num_frames: Frames of the turn.
        size: Width and height, pixels.
        elevation: Radians above the horizon.
        up: The mesh's axis that points up.
        unlit: Show the texture as it is, for colours that hold their light already.
        background: Grey behind the mesh, in [0, 1].
    """
    if len(mesh.vertices) == 0:
        raise ValueError("the mesh has no vertices")
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centred = mesh.vertices - 0.5 * (low + high)
    radius = float(np.linalg.norm(centred, axis=1).max())
    # The default orbit looks at the unit sphere, +y up.
    placed = TexturedMesh(
        vertices=upright(centred / max(radius, 1e-12), up),
        normals=upright(mesh.normals, up),
        uv=mesh.uv,
        faces=mesh.faces,
        texture=mesh.texture,
    )
    seen = render_mesh(placed, orbit_cameras(num_frames, size=size, elevation=elevation))
    assert seen.normals is not None
    colour = seen.albedo if unlit else shade(seen.albedo, seen.normals)
    return _to_bytes(colour + background * (1 - seen.alpha[..., None]))


def _to_bytes(
    image: Float[Tensor, "frame height width 3"],
) -> UInt8[np.ndarray, "frame height width 3"]:
    return (image.clamp(0, 1) * 255).round().byte().cpu().numpy()


def write_webp(
    frames: UInt8[np.ndarray, "frame height width 3"],
    path: Path | str,
    *,
    seconds: float = 3.0,
    quality: int = 80,
) -> None:
    """Write an animated WebP that turns for ever, one turn in `seconds`; whole or not at all."""
    images = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=math.ceil(1000 * seconds / len(images)),
        loop=0,
        quality=quality,
        method=2,
    )
    write_whole(path, buffer.getvalue())
