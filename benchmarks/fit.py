"""Fits orbits of known meshes and holds surface and unseen views against them.

    python benchmarks/fit.py FOLDER [--size 128] [--light unlit|lit|normals] [--json out.json]

FOLDER holds GLB files in the corpus's form. An orbit of 24 views, elevation 15° + 20° sin(azimuth),
is rendered of each; `unlit` gives the fit plain colours, `lit` colours with baked light, as a
filmed clip has, `normals` plain colours with normals, as the embedded model makes them. The bare
hull stands beside the fit. Views are judged by their PSNR inside the box of the true alpha.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipelines.training.meshes import PackedMesh, read_glb
from pipelines.training.renders import render_mesh
from threed.cameras import Cameras, orbit_cameras
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.hull import hull_field
from threed.mesh import MeshConfig, extract_mesh
from threed.metrics import SurfaceScores, compare_surfaces, psnr_in_box
from threed.orbit import OrbitVideo, shade
from threed.render import render_views

ROW = "{:24s} {:5s} {:>7} {:>8} {:>7} {:>6} {:>7}"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table."""

    name: str
    method: str
    psnr: float
    surface: SurfaceScores
    seconds: float

    def line(self) -> str:
        """Return the line as it is printed."""
        surface = self.surface
        return ROW.format(
            self.name,
            self.method,
            f"{self.psnr:.2f}",
            f"{surface.chamfer:.4f}",
            f"{surface.f_score:.3f}",
            f"{surface.iou:.3f}",
            f"{self.seconds:.1f}",
        )


def render_truth(mesh: PackedMesh, cameras: Cameras, light: str) -> OrbitVideo:
    """Return the frames that a fit is given, or judged by."""
    image = render_mesh(mesh, cameras, samples=3).float() / 255
    albedo, alpha = image[..., :3], image[..., 3]
    normals = (2 * image[..., 4:] - 1) * (alpha[..., None] > 0)
    if light == "lit":
        albedo = shade(albedo, normals)
    return OrbitVideo(
        albedo=albedo,
        alpha=alpha,
        normals=normals if light == "normals" else None,
        cameras=cameras,
    )


def wavy_orbit(size: int, num_frames: int = 24, start_azimuth: float = 0.0) -> Cameras:
    """Return the orbit at elevation 15° + 20° sin(azimuth)."""
    azimuth = start_azimuth + torch.arange(num_frames) * (2 * math.pi / num_frames)
    elevation = math.radians(15) + math.radians(20) * azimuth.sin()
    return orbit_cameras(num_frames, size=size, elevation=elevation, start_azimuth=start_azimuth)


def score(
    name: str, method: str, field: Field, mesh: PackedMesh, unseen: OrbitVideo, seconds: float
) -> Score:
    """Return how near a field is to the mesh and to the views it has not seen."""
    surface = extract_mesh(field, MeshConfig())
    return Score(
        name=name,
        method=method,
        psnr=float(psnr_in_box(render_views(field, unseen.cameras), unseen).mean()),
        surface=compare_surfaces(
            surface.vertices, surface.faces, mesh.vertices.numpy(), mesh.faces.numpy()
        ),
        seconds=seconds,
    )


def measure(path: Path, size: int, light: str, config: FitConfig) -> list[Score]:
    """Return the scores of the hull and of the fit for one mesh."""
    mesh = read_glb(path)
    orbit = render_truth(mesh, wavy_orbit(size), light)
    unseen = render_truth(mesh, wavy_orbit(size, 12, math.pi / 24), light)
    start = time.perf_counter()
    hull = hull_field(orbit, config.hull, torch.Generator().manual_seed(0))
    scores = [score(path.stem, "hull", hull, mesh, unseen, time.perf_counter() - start)]
    start = time.perf_counter()
    steps = fit(orbit, config, torch.Generator().manual_seed(0))
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            field = finished.value
            break
    return [*scores, score(path.stem, "fit", field, mesh, unseen, time.perf_counter() - start)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of GLB files")
    parser.add_argument("--names", nargs="*", help="only these files, without .glb")
    parser.add_argument("--size", type=int, default=128, help="width of the frames, pixels")
    parser.add_argument("--light", choices=["unlit", "lit", "normals"], default="lit")
    parser.add_argument("--steps", type=int, default=FitConfig().num_steps)
    parser.add_argument("--json", type=Path, help="where to write the scores")
    arguments = parser.parse_args()
    config = FitConfig(num_steps=arguments.steps)
    paths = sorted(arguments.folder.glob("*.glb"))
    if arguments.names:
        paths = [path for path in paths if path.stem in arguments.names]
    print(ROW.format("mesh", "", "PSNR", "Chamfer", "F", "IoU", "seconds"))
    scores: list[Score] = []
    for path in paths:
        for row in measure(path, arguments.size, arguments.light, config):
            scores.append(row)
            print(row.line(), flush=True)
    for method in ("hull", "fit"):
        rows = [row for row in scores if row.method == method]
        mean = Score(
            name="mean",
            method=method,
            psnr=sum(row.psnr for row in rows) / len(rows),
            surface=SurfaceScores(
                **{
                    key: sum(getattr(row.surface, key) for row in rows) / len(rows)
                    for key in ("chamfer", "f_score", "iou")
                }
            ),
            seconds=sum(row.seconds for row in rows) / len(rows),
        )
        print(mean.line())
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in scores], indent=1))


if __name__ == "__main__":
    main()
