"""What there is to report of a field and of the mesh that was taken from it."""

from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float, UInt8

from threed.cameras import Cameras, camera_angles
from threed.field import Field
from threed.glb import budget_of, texture_kind
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo, display_frames
from threed.preview import render_mesh
from threed.render import render_views
from threed.report import Report, Side, given_up, side_of, verdict
from threed.report_picture import TILE, comparison
from threed.textured_mesh import TexturedMesh, read_own_glb
from threed.upright import Up


def find(orbit: OrbitVideo, drawn: OrbitVideo, fitted: Field, glb: Path, up: Up) -> Report:
    """Return the findings on a field and on the mesh as it stands in the file, without times.

    Args:
        orbit: To which the field was fitted.
        drawn: Of which the texture is: the same, or drawn again from the same cameras.
        fitted: The field.
        glb: The mesh's file.
        up: Which axis of the mesh is up.
    """
    mesh = read_own_glb(glb)
    shown = render_views(fitted, orbit.cameras)
    psnr = psnr_in_box(shown, orbit).tolist()
    redrawn = None if drawn is orbit else round(float(psnr_in_box(shown, drawn).mean()), 2)
    mesh_psnr = psnr_in_box(render_mesh(mesh, orbit.cameras), drawn)
    watertight, light_baked = is_closed(mesh), orbit.normals is None
    centre = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    sides = seen_sides(orbit.cameras, centre, up)
    budget, size, kind = budget_of(glb), mesh.texture.shape[0], texture_kind(glb)
    lost = given_up(budget, num_faces=len(mesh.faces), texture_size=size, texture_kind=kind)
    return Report(
        psnr=[round(value, 2) for value in psnr],
        mean_psnr=round(sum(psnr) / len(psnr), 2),
        worst_view=psnr.index(min(psnr)),
        mesh_psnr=round(float(mesh_psnr.mean()), 2),
        watertight=watertight,
        num_faces=len(mesh.faces),
        num_vertices=len(mesh.vertices),
        texture_size=size,
        glb_bytes=glb.stat().st_size,
        light_baked=light_baked,
        seconds={},
        verdict=verdict(
            psnr,
            sides,
            watertight=watertight,
            light_baked=light_baked,
            given_up=lost,
            redrawn_psnr=redrawn,
        ),
        sides=sides,
        texture_kind=kind,
        budget=budget,
        redrawn_psnr=redrawn,
    )


def seen_sides(cameras: Cameras, centre: Float[np.ndarray, " 3"], up: Up) -> list[Side]:
    """Return from which side each camera looks at an object about `centre`."""
    c2w = cameras.c2w.cpu().clone()
    c2w[:, :3, 3] -= torch.from_numpy(centre).to(c2w)
    if up == "z":
        # To a world whose up is y: z becomes y, and -y, the front, becomes z.
        c2w[:, :3, 3] = c2w[:, [0, 2, 1], 3] * c2w.new_tensor([1.0, 1.0, -1.0])
    moved = Cameras(c2w=c2w, fov_y=cameras.fov_y.cpu(), width=cameras.width, height=cameras.height)
    azimuth, elevation, _ = camera_angles(moved)
    return [side_of(*angles) for angles in zip(azimuth.tolist(), elevation.tolist(), strict=True)]


def compare_view(
    orbit: OrbitVideo, mesh: TexturedMesh, view: int
) -> UInt8[np.ndarray, "tile_height strip_width 3"]:
    """Return a frame of the video, the mesh from its camera, and their difference, side by side.

    Both are lit alike where the video has normals.
    """
    frame = orbit.select([view])
    width, height = frame.cameras.width, frame.cameras.height
    scale = TILE / max(width, height)
    tile = frame.cameras.resized(round(scale * width), round(scale * height))
    lit = orbit.normals is not None
    shown = [frame, *(_as_filmed(render_mesh(mesh, c), lit) for c in (frame.cameras, tile))]
    return comparison(*(display_frames(seen)[0].cpu().numpy() for seen in shown))


def _as_filmed(seen: OrbitVideo, lit: bool) -> OrbitVideo:
    """Return a view without its normals where the video has none, for those would light it."""
    if lit:
        return seen
    return OrbitVideo(albedo=seen.albedo, alpha=seen.alpha, normals=None, cameras=seen.cameras)


def is_closed(mesh: TexturedMesh) -> bool:
    """Return whether a mesh bounds a volume once the vertices along its seams are joined."""
    places, joined = np.unique(mesh.vertices, axis=0, return_inverse=True)
    solid = trimesh.Trimesh(places, joined.ravel()[mesh.faces], process=False)
    return bool(solid.is_volume)
