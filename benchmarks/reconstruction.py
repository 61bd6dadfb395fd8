"""Reconstructs orbits of known meshes and holds surface, unseen views and texture against them.

    python -m benchmarks.reconstruction FOLDER [FOLDER ...] [--size 128] [--light lit unlit]
        [--names cat boot] [--peers 1 10] [--json out.json]

FOLDER holds GLB files in the corpus's form: y up, within the unit sphere. Of each an orbit of 24
views, elevation 15° + 20° sin(azimuth), fov 40°, radius 3.2, is rendered. `lit` gives the fit
colours with baked light, as a filmed clip has; `unlit` plain colours; `normals` plain colours with
normals, as the embedded model makes them. `--concave` and `--everyday` name six objects each of the
corpus. Beside ours stand the bare visual hull and, with `--peers`, nerfstudio's TensoRF and
nerfacto, on the same frames, given so many times the processor seconds of our fit.

What `--json` holds already is not measured again: with peers a mesh takes up to an hour of a core.

Views are judged inside the box of the true alpha, four pixels wider; Chamfer is the mean of both
mean distances of 100,000 samples a side, the F-score's threshold 0.02; IoU only where the truth is
watertight. Memory is the most that the process held in a stage.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import trimesh

from benchmarks.stages import Stages
from pipelines.training.meshes import PackedMesh, read_glb
from pipelines.training.renders import render_mesh as render_truth_mesh
from threed.cameras import Cameras, orbit_cameras
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.hull import hull_field
from threed.mesh import MeshConfig, extract_mesh
from threed.metrics import compare_surfaces, psnr_in_box, ssim
from threed.orbit import OrbitVideo, shade
from threed.preview import render_mesh
from threed.progress import finish
from threed.render import render_views
from threed.texture import bake, unwrap

LIGHTS = ("lit", "unlit", "normals")
# Each closed and in one piece, so that the share of volume that both fill means something.
CONCAVE = (
    *("kaykit-bowl-01", "kenney-pot-00", "kenney-mug-00"),
    *("quaternius-boat-00", "kenney-canoe-00", "kenney-detail-bowl-00"),
)
EVERYDAY = (
    *("kenney-chair-00", "kenney-barrel-00", "kenney-chest-00"),
    *("kenney-cart-00", "kenney-tree-oak-00", "kaykit-skull-04"),
)
COLUMNS = ("field", "mesh", "ssim", "chamfer", "f_score", "iou", "seconds", "mib")
ROW = "{:24s} {:8s} {:9s}" + " {:>8s}" * len(COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table; what could not be measured is NaN."""

    name: str
    light: str
    method: str
    field: float
    """PSNR of unseen views of the field, dB."""
    mesh: float
    """PSNR of unseen views of the textured mesh, dB."""
    ssim: float
    """Of the same views of the textured mesh."""
    chamfer: float
    f_score: float
    iou: float
    seconds: float
    """Until the field was there."""
    processor: float = math.nan
    """The processor's seconds until then, of which peers are given so many times as many."""
    mib: float
    """Most memory of the process until the mesh was there."""
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Seconds and peak MiB of each stage."""

    def line(self) -> str:
        """Return the line as it is printed."""
        digits = {"chamfer": 4, "f_score": 3, "iou": 3, "ssim": 3, "mib": 0}
        values = [f"{getattr(self, name):.{digits.get(name, 2)}f}" for name in COLUMNS]
        return ROW.format(self.name, self.light, self.method, *values)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A known mesh with the frames that a method is given and those that it is judged by."""

    name: str
    light: str
    mesh: PackedMesh
    watertight: bool
    orbit: OrbitVideo
    unseen: OrbitVideo


def render_truth(mesh: PackedMesh, cameras: Cameras, light: str) -> OrbitVideo:
    """Return frames of a known mesh under one of LIGHTS."""
    image = render_truth_mesh(mesh, cameras, samples=3).float() / 255
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


def subject_of(path: Path, light: str, size: int) -> Subject:
    """Return a file's mesh with its frames; unseen views lie half way between two seen ones."""
    mesh = read_glb(path)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    return Subject(
        name=path.stem,
        light=light,
        mesh=mesh,
        watertight=bool(solid.is_volume),
        orbit=render_truth(mesh, wavy_orbit(size), light),
        unseen=render_truth(mesh, wavy_orbit(size, 12, math.pi / 24), light),
    )


def score_field(
    subject: Subject, method: str, fitted: Field, stages: Stages, processor: float
) -> Score:
    """Return how near a field, and the mesh made of it, are to a known mesh.

    Args:
        subject: What was reconstructed.
        method: By what.
        fitted: The field.
        stages: What making it took, to which the mesh's stages are added.
        processor: The processor's seconds that it took.
    """
    seconds = stages.total
    with stages.stage("mesh"):
        surface = extract_mesh(fitted, MeshConfig())
    with stages.stage("unwrap"):
        unwrapped = unwrap(surface)
    with stages.stage("texture"):
        textured = bake(unwrapped, fitted, subject.orbit, 1024)
    seen = render_views(fitted, subject.unseen.cameras)
    drawn = render_mesh(textured, subject.unseen.cameras)
    return Score(
        name=subject.name,
        light=subject.light,
        method=method,
        field=float(psnr_in_box(seen, subject.unseen).mean()),
        mesh=float(psnr_in_box(drawn, subject.unseen).mean()),
        ssim=float(ssim(drawn.albedo, subject.unseen.albedo).mean()),
        **surface_scores(subject, surface.vertices, surface.faces),
        seconds=seconds,
        processor=processor,
        mib=stages.peak_mib,
        stages=stages.by_name,
    )


def surface_scores(subject: Subject, vertices: np.ndarray, faces: np.ndarray) -> dict[str, float]:
    """Return Chamfer distance, F-score and, against a watertight truth, IoU."""
    scores = compare_surfaces(
        vertices, faces, subject.mesh.vertices.numpy(), subject.mesh.faces.numpy()
    )
    return asdict(scores) | ({} if subject.watertight else {"iou": math.nan})


def measure(
    subject: Subject, config: FitConfig, peers: list[float], held: dict[str, Score]
) -> Iterator[Score]:
    """Yield the scores of the hull, of the fit, and of the peers.

    Args:
        subject: What is reconstructed.
        config: Of our fit, and of the hull.
        peers: How many times our seconds the peers get.
        held: Scores that are there already, by method.
    """
    yield held.get("hull") or _score_hull(subject, config)
    ours = held.get("ours") or _score_fit(subject, config)
    yield ours
    if peers:
        from benchmarks.peers import PEERS, row_name, score_peer

        for times in peers:
            for method in PEERS:
                known = held.get(row_name(method, times))
                yield known or score_peer(subject, method, times, ours.processor)


def _score_hull(subject: Subject, config: FitConfig) -> Score:
    stages = Stages()
    started = time.process_time()
    with stages.stage("hull"):
        hull = hull_field(subject.orbit, config.hull, torch.Generator().manual_seed(0))
    return score_field(subject, "hull", hull, stages, time.process_time() - started)


def _score_fit(subject: Subject, config: FitConfig) -> Score:
    stages = Stages()
    started = time.process_time()
    with stages.stage("fit"):
        fitted = finish(fit(subject.orbit, config, torch.Generator().manual_seed(0)))
    return score_field(subject, "ours", fitted, stages, time.process_time() - started)


def read_scores(path: Path, settings: dict[str, int]) -> list[Score]:
    """Return the lines that a file holds; none where there is no file.

    Raises:
        ValueError: They were measured with other settings.
    """
    if not path.exists():
        return []
    held = json.loads(path.read_text())
    if held["settings"] != settings:
        raise ValueError(f"{path} was measured with {held['settings']}, not with {settings}")
    return [Score(**row) for row in held["scores"]]


def write_scores(path: Path, settings: dict[str, int], scores: list[Score]) -> None:
    """Write lines for `read_scores`, all or none of them."""
    table = {"settings": settings, "scores": [asdict(row) for row in scores]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(table, indent=1) + "\n")
    part.replace(path)


def averages(scores: list[Score]) -> list[Score]:
    """Return a line of means for each light and method, and one of medians."""
    lines = []
    for light, method in dict.fromkeys((row.light, row.method) for row in scores):
        rows = [row for row in scores if (row.light, row.method) == (light, method)]
        for title, middle in (("mean", statistics.fmean), ("median", statistics.median)):
            columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
            known = {name: [v for v in col if not math.isnan(v)] for name, col in columns.items()}
            values = {name: middle(col) if col else math.nan for name, col in known.items()}
            lines.append(
                Score(name=f"{title} of {len(rows)}", light=light, method=method, **values)
            )
    return lines


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of GLB files")
    parser.add_argument("--names", nargs="*", help="only these files, without .glb")
    parser.add_argument("--concave", action="store_true", help=f"only {', '.join(CONCAVE)}")
    parser.add_argument("--everyday", action="store_true", help=f"only {', '.join(EVERYDAY)}")
    parser.add_argument("--size", type=int, default=128, help="width of the frames, pixels")
    parser.add_argument("--light", choices=LIGHTS, nargs="+", default=["lit"])
    parser.add_argument("--steps", type=int, default=FitConfig().num_steps)
    parser.add_argument(
        "--peers", type=float, nargs="*", default=[], help="times our seconds, for instance 1 10"
    )
    parser.add_argument("--json", type=Path, help="file of the scores, read first and gone on with")
    return parser


def main() -> None:
    """Print a line a mesh, light and method, then their means and medians."""
    arguments = build_parser().parse_args()
    names = set(arguments.names or ())
    names |= set(CONCAVE if arguments.concave else ()) | set(EVERYDAY if arguments.everyday else ())
    paths = [path for folder in arguments.folders for path in sorted(folder.glob("*.glb"))]
    paths = [path for path in paths if not names or path.stem in names]
    config = FitConfig(num_steps=arguments.steps)
    settings = {"size": arguments.size, "steps": arguments.steps}
    held = read_scores(arguments.json, settings) if arguments.json else []
    known = {(row.name, row.light, row.method): row for row in held}
    print(ROW.format("mesh", "light", "method", *COLUMNS))
    shown: list[Score] = []
    for path, light in itertools.product(paths, arguments.light):
        there = {row.method: row for row in held if (row.name, row.light) == (path.stem, light)}
        subject = subject_of(path, light, arguments.size)
        for row in measure(subject, config, arguments.peers, there):
            shown.append(row)
            known[row.name, row.light, row.method] = row
            print(row.line(), flush=True)
            if arguments.json:
                write_scores(arguments.json, settings, list(known.values()))
    for row in averages(shown):
        print(row.line())


if __name__ == "__main__":
    main()
