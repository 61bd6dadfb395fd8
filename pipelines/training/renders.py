"""Packed meshes to orbits: uint8 frames of albedo, alpha and normals with their cameras.

A dataset folder holds `objects.json` (id, name, kit a row) and shards `orbits-000.safetensors` with
`frames` (orbit frame height width 7), `c2w` (orbit frame 4 4), `fov_y` (orbit frame), `object`
(orbit) and `moves` (orbit; an index in `motions.MOVES`). Channels: albedo 0-2 and alpha 3,
premultiplied, as v * 255; normals 4-6, premultiplied world-space, as (n + 1) * 127.5.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.meshes import FIELDS, CaptionRow, PackedMesh, sample_textures
from pipelines.training.motions import TURN, as_seen_at_rest, random_clip
from threed.cameras import DEFAULT_FOV_Y, DEFAULT_RADIUS, Cameras, orbit_cameras
from threed.rasterize import average_samples, rasterize


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How the orbits of a dataset are drawn."""

    size: int
    """Width and height of a frame, pixels."""
    num_frames: int = 24
    """Frames an orbit, equally spaced over one turn."""
    num_orbits: int = 6
    """Orbits an object; the first is the default orbit, level at 15 degrees."""
    num_moving: int = 0
    """Clips a named object in which it moves, or (every third) the camera goes no orbit."""
    num_deformed: int = 0
    """Copies of every mesh in another shape, which have no name and two orbits each."""
    samples: int = 2
    """Samples along a pixel's side."""
    shard_objects: int = 128
    """Objects a shard file."""

    def __post_init__(self) -> None:
        for name in ("size", "num_frames", "num_orbits", "samples", "shard_objects"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("num_moving", "num_deformed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class DrawnOrbits:
    """An object's clips, the orbits first, the default one before all."""

    frames: UInt8[Tensor, "orbit frame height width 7"]
    c2w: Float[Tensor, "orbit frame 4 4"]
    fov_y: Float[Tensor, "orbit frame"]
    moves: Int[Tensor, " orbit"]
    """What moves in each, an index in MOVES."""


def random_orbit(config: RenderConfig, generator: torch.Generator) -> Cameras:
    """Return a level, rising or wavy full turn with random start, elevation, zoom and lens.

    Elevations lie between -30 and 60 degrees.
    """
    number = torch.rand(8, generator=generator).tolist()
    turn = torch.arange(config.num_frames) / config.num_frames
    low, high = math.radians(-30), math.radians(60)
    middle = low + (high - low) * number[0]
    kind = int(number[1] * 3)
    if kind == 0:
        elevation = torch.full_like(turn, middle)
    elif kind == 1:
        elevation = middle + (low + (high - low) * number[2] - middle) * turn
    else:
        waves = 1 + int(number[2] * 2)
        amplitude = number[3] * min(middle - low, high - middle)
        elevation = middle + amplitude * torch.sin(2 * math.pi * (waves * turn + number[4]))
    # The lens lies between 30 and 50 degrees, the distance is 0.95 to 1.1 of what fills the frame.
    fov_y = math.radians(30 + 20 * number[5]) if number[6] < 0.4 else DEFAULT_FOV_Y
    zoom = 0.95 + 0.15 * number[7]
    radius = zoom * DEFAULT_RADIUS * math.sin(DEFAULT_FOV_Y / 2) / math.sin(fov_y / 2)
    return orbit_cameras(
        config.num_frames,
        size=config.size,
        elevation=elevation,
        start_azimuth=2 * math.pi * float(torch.rand((), generator=generator)),
        fov_y=fov_y,
        radius=radius,
    )


def render_mesh(
    mesh: PackedMesh,
    cameras: Cameras,
    samples: int,
    rotation: Float[Tensor, "view 3 3"] | None = None,
) -> UInt8[Tensor, "view height width 7"]:
    """Return the seven channels of every view, as the module's docstring lays them out.

    Args:
        mesh: What is seen.
        cameras: The views.
        samples: Along a pixel's side.
        rotation: How the mesh is turned in each view besides what the cameras say, for its normals.
    """
    fine = Cameras(
        c2w=cameras.c2w,
        fov_y=cameras.fov_y,
        width=cameras.width * samples,
        height=cameras.height * samples,
    )
    fragments = rasterize(mesh.vertices, mesh.faces.long(), fine)
    hit = fragments.face >= 0
    face = fragments.face[hit]
    colour = mesh.colours[face].float() / 255
    if mesh.uv is not None and mesh.textures is not None and mesh.texture_index is not None:
        index = mesh.texture_index[face]
        textured = index >= 0
        uv = torch.einsum("pk,pkc->pc", fragments.barycentric[hit], mesh.uv[face])
        texel = sample_textures(mesh.textures, index[textured], uv[textured])
        colour[textured] = colour[textured] * texel
    a, b, c = mesh.vertices[mesh.faces.long()].unbind(dim=1)
    face_normal = F.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-12)
    normal = face_normal[face]
    # Both sides are drawn, and sheets wind either way: turn every normal to its camera.
    view = hit.nonzero()[:, 0]
    point = torch.einsum(
        "pk,pkc->pc", fragments.barycentric[hit], mesh.vertices[mesh.faces.long()][face]
    )
    towards = cameras.c2w[view, :3, 3] - point
    normal = torch.where((normal * towards).sum(-1, keepdim=True) < 0, -normal, normal)
    if rotation is not None:
        normal = torch.einsum("pij,pj->pi", rotation[view], normal)
    image = colour.new_zeros(*hit.shape, 7)
    image[hit] = torch.cat([colour, torch.ones_like(colour[:, :1]), normal], dim=-1)
    image = average_samples(image, samples)
    image[..., 4:] = 0.5 * image[..., 4:] + 0.5
    return (image * 255).round().to(torch.uint8)


def render_orbits(
    id_: str,
    mesh: PackedMesh,
    config: RenderConfig,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> DrawnOrbits:
    """Return an object's orbits, the default one first, then the clips in which something moves.

    Every object has a generator of its own, which its id and the seed start: it is drawn alike
    alone and among others. All lies on the device.
    """
    generator = object_generator(id_, seed)
    orbits = [orbit_cameras(config.num_frames, size=config.size)]
    orbits += [random_orbit(config, generator) for _ in range(config.num_orbits - 1)]
    low = float(mesh.vertices[:, 1].min())
    clips = [
        random_clip(config.num_frames, config.size, low, generator, moving=number % 3 != 2)
        for number in range(config.num_moving)
    ]
    seen = _joined([*orbits, *(as_seen_at_rest(clip) for clip in clips)]).to(device)
    upright = torch.eye(3).repeat(config.num_orbits * config.num_frames, 1, 1)
    rotation = torch.cat([upright, *(clip.placement.rotation for clip in clips)]).to(device)
    image = render_mesh(
        _to(mesh, device), seen, config.samples, rotation if config.num_moving else None
    )
    told = _joined([*orbits, *(clip.cameras for clip in clips)]).to(device)
    return DrawnOrbits(
        frames=rearrange(image, "(o f) h w c -> o f h w c", f=config.num_frames),
        c2w=rearrange(told.c2w, "(o f) i j -> o f i j", f=config.num_frames),
        fov_y=rearrange(told.fov_y, "(o f) -> o f", f=config.num_frames),
        moves=torch.tensor([TURN] * config.num_orbits + [clip.move for clip in clips]),
    )


def _joined(parts: list[Cameras]) -> Cameras:
    return Cameras(
        c2w=torch.cat([part.c2w for part in parts]),
        fov_y=torch.cat([part.fov_y for part in parts]),
        width=parts[0].width,
        height=parts[0].height,
    )


def render_dataset(
    meshes: Iterator[tuple[str, PackedMesh]],
    rows: dict[str, CaptionRow],
    out: Path,
    config: RenderConfig,
    *,
    seed: int,
    device: str = "cpu",
) -> Iterator[int]:
    """Write a dataset folder and yield the number of objects done after each.

    A run that stops goes on from its last whole shard, and a subset of the objects renders as it
    does among all.

    Raises:
        ValueError: The folder holds a dataset of other objects or settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    todo = [(id_, mesh) for id_, mesh in meshes if id_ in rows]
    listing = [asdict(rows[id_]) for id_, _ in todo]
    _write_listing(
        out / "objects.json", {"config": asdict(config), "seed": seed, "objects": listing}
    )
    for start in range(0, len(todo), config.shard_objects):
        path = out / f"orbits-{start // config.shard_objects:03d}.safetensors"
        chunk = todo[start : start + config.shard_objects]
        if path.exists():
            yield start + len(chunk)
            continue
        drawn, index = [], []
        for number, (id_, mesh) in enumerate(chunk, start=start):
            drawn.append(render_orbits(id_, mesh, config, seed=seed, device=device))
            index.append(torch.full((len(drawn[-1].frames),), number))
            yield number + 1
        tensors = {
            field.name: torch.cat([getattr(orbits, field.name).cpu() for orbits in drawn])
            for field in fields(DrawnOrbits)
        } | {"object": torch.cat(index)}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial)
        partial.replace(path)


def _write_listing(path: Path, listing: dict[str, object]) -> None:
    """Write what the dataset holds; shards name objects by their place in it, so it stays."""
    text = json.dumps(listing)
    if path.exists():
        if json.loads(path.read_text()) != json.loads(text):
            raise ValueError(
                f"{path.parent} holds a dataset of other objects or settings; choose another folder"
            )
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def object_generator(id_: str, seed: int) -> torch.Generator:
    """Return an object's own generator."""
    number = sum(ord(letter) * 131**place for place, letter in enumerate(id_)) + seed
    return torch.Generator().manual_seed(number % 2**31)


def _to(mesh: PackedMesh, device: torch.device | str) -> PackedMesh:
    values: dict[str, Any] = {name: getattr(mesh, name) for name in FIELDS}
    moved: dict[str, Any] = {
        name: None if value is None else value.to(device) for name, value in values.items()
    }
    return PackedMesh(**moved)
