"""Films known meshes as a user would, finds the cameras, and says what not knowing them costs.

    python -m benchmarks.clips FOLDER [--names spot cat] [--size 128] [--json out.json]

FOLDER holds GLB files in the corpus's form. Each is filmed before a plain wall in every variation
and written as a video file without cameras. `threed.source` reads it back; a field is fitted to its
frames under the cameras found and, for comparison, to the same frames under the true ones. Views
between the filmed ones are judged inside the box of their true alpha, 4 px wider. What is found is
known up to a similarity only, as of any uncalibrated film: points of the mesh are put where the
found cameras see what the true ones see of them, and the true unseen cameras are carried over by
the similarity between the points' two places.
"""

import argparse
import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.hand_held import hand_held, speckled
from pipelines.training.meshes import PackedMesh, read_glb
from pipelines.training.renders import render_mesh
from threed.cameras import Cameras, look_at_origin, project
from threed.errors import RequestError
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo, shade
from threed.poses import PoseConfig
from threed.render import render_views
from threed.source import Source, SourceConfig, read_source

WALL = (0.72, 0.80, 0.86)
WIDTH, HEIGHT = 320, 256
ROW = "{:10s} {:16s} {:>7} {:>7} {:>6}  {}"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One way to film."""

    name: str
    turns: float = 1.0
    """Signed; negative is clockwise seen from above."""
    num_frames: int = 60
    elevation_deg: float = 18.0
    roll_deg: float = 0.0
    jitter_deg: float = 0.0
    """Deviation of each camera's azimuth, elevation and three angles of view."""
    hurry: float = 0.0
    """Share by which the speed of the turn swells and falls."""
    fov_deg: float = 40.0
    told: bool = False
    """Whether the user says the field of view."""
    noise: float = 0.0
    """Deviation of the sensor's noise, sRGB in [0, 1]."""
    crf: int = 18
    """H.264's constant rate factor; 38 is poor."""
    by_hand: bool = False
    """Whether speed, height, distance, roll and aim wander, about a finely textured thing."""


VARIATIONS = (
    Variation(name="plain", told=True),
    Variation(name="reversed", turns=-1.0, told=True),
    Variation(name="turn and a half", turns=1.5, num_frames=90, told=True),
    Variation(name="off level", roll_deg=5.0, told=True),
    Variation(name="jittered", jitter_deg=1.0, told=True),
    Variation(name="uneven speed", hurry=0.3, told=True),
    Variation(name="unknown fov 40"),
    Variation(name="unknown fov 28", fov_deg=28.0),
    Variation(name="unknown fov 55", fov_deg=55.0),
    Variation(name="noise", noise=6 / 255, told=True),
    Variation(name="low rate", crf=38, told=True),
    Variation(name="by hand", by_hand=True, fov_deg=47.0),
    Variation(name="by hand fov 28", by_hand=True, fov_deg=28.0),
)


def film_cameras(variation: Variation, azimuth: Float[Tensor, " view"], seed: int) -> Cameras:
    """Return cameras at azimuths (radians) as a variation holds them, shaken by the seed."""
    generator = torch.Generator().manual_seed(seed)
    count, fov = len(azimuth), math.radians(variation.fov_deg)
    shake = torch.randn(count, 5, generator=generator) * math.radians(variation.jitter_deg)
    elevation = math.radians(variation.elevation_deg) + shake[:, 1]
    # The object fills the frame as it does at 40 degrees and 3.2 away.
    radius = torch.full((count,), 3.2 * math.sin(math.radians(20)) / math.sin(0.5 * fov))
    c2w = look_at_origin(azimuth + shake[:, 0], elevation, radius)
    angles = shake[:, 2:] + torch.tensor([0.0, 0.0, math.radians(variation.roll_deg)])
    skew = torch.zeros(count, 3, 3)
    for (row, column), angle in zip(((2, 1), (0, 2), (1, 0)), angles.T, strict=True):
        skew[:, row, column], skew[:, column, row] = angle, -angle
    c2w[:, :3, :3] = c2w[:, :3, :3] @ torch.linalg.matrix_exp(skew)
    return Cameras(c2w=c2w, fov_y=torch.full((count,), fov), width=WIDTH, height=HEIGHT)


def turned(variation: Variation) -> Float[Tensor, " view"]:
    """Return the azimuths of a variation's frames, radians."""
    share = torch.arange(variation.num_frames) / variation.num_frames
    swell = variation.hurry * torch.sin(2 * math.pi * share) / (2 * math.pi)
    return 0.4 + 2 * math.pi * variation.turns * (share + swell)


def render_truth(mesh: PackedMesh, cameras: Cameras) -> OrbitVideo:
    """Return lit frames of a mesh."""
    image = torch.cat([render_mesh(mesh, cameras[[i]], samples=2) for i in range(len(cameras))])
    image = image.float() / 255
    alpha = image[..., 3]
    normals = (2 * image[..., 4:] - 1) * (alpha[..., None] > 0)
    albedo = shade(image[..., :3], normals)
    return OrbitVideo(albedo=albedo, alpha=alpha, normals=None, cameras=cameras)


def write_film(path: Path, truth: OrbitVideo, variation: Variation) -> None:
    """Write frames before a wall as an MP4 of ordinary make."""
    shown = truth.albedo + (1 - truth.alpha[..., None]) * torch.tensor(WALL)
    generator = torch.Generator().manual_seed(7)
    shown = shown + variation.noise * torch.randn(shown.shape, generator=generator)
    frames: UInt8[np.ndarray, "frame height width 3"]
    frames = (255 * shown.clamp(0, 1)).round().byte().numpy()
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(15))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(variation.crf)}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """x in the true world is scale * rotation @ x + shift in the found one."""

    rotation: Float[Tensor, "3 3"]
    scale: float
    shift: Float[Tensor, "3"]

    def carry(self, cameras: Cameras) -> Cameras:
        """Return true cameras as they stand in the found world."""
        c2w = cameras.c2w.clone()
        c2w[:, :3, :3] = self.rotation @ c2w[:, :3, :3]
        c2w[:, :3, 3] = self.scale * cameras.c2w[:, :3, 3] @ self.rotation.T + self.shift
        return replace(cameras, c2w=c2w)


def similarity(points: Float[Tensor, "vertex 3"], true: Cameras, found: Cameras) -> Similarity:
    """Return what brings points nearest to where found cameras see what true ones see of them.

    Umeyama (PAMI 1991), on points triangulated from their true pixels in the found cameras.
    """
    pixel, _ = project(points, true)
    focal = found.focal[:, None]
    x = (pixel[..., 0] - 0.5 * found.width) / focal
    y = (0.5 * found.height - pixel[..., 1]) / focal
    local = torch.nn.functional.normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1), dim=-1)
    rays = torch.einsum("vij,vpj->vpi", found.c2w[:, :3, :3], local).double()
    across = torch.eye(3, dtype=torch.float64) - rays[..., :, None] * rays[..., None, :]
    origin = found.c2w[:, None, :3, 3, None].double()
    there = torch.linalg.solve(across.sum(dim=0), (across @ origin).sum(dim=0))[..., 0]
    a, b = points.double() - points.double().mean(dim=0), there - there.mean(dim=0)
    left, _, right = torch.linalg.svd(b.T @ a)
    mirror = torch.ones(3, dtype=torch.float64)
    mirror[2] = torch.det(left @ right).sign()
    rotation = left @ torch.diag(mirror) @ right
    turned = a @ rotation.T
    scale = float((turned * b).sum() / (turned * turned).sum())
    shift = there.mean(dim=0) - scale * points.double().mean(dim=0) @ rotation.T
    return Similarity(rotation=rotation.float(), scale=scale, shift=shift.float())


def fitted(orbit: OrbitVideo, config: FitConfig) -> Field:
    """Return the field of an orbit."""
    steps = fit(orbit, config, torch.Generator().manual_seed(0))
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table."""

    mesh: str
    variation: str
    known_psnr: float | None
    """Of unseen views, fitted under the true cameras, dB."""
    found_psnr: float | None
    """The same under the cameras found; None where the clip was refused."""
    note: str
    cpu_seconds: float
    """Processor time of reading the clip and finding its cameras."""

    def line(self) -> str:
        """Return the line as it is printed."""
        known, found = self.known_psnr, self.found_psnr
        lost = None if known is None or found is None else known - found
        cells = ["-" if value is None else f"{value:.2f}" for value in (known, found, lost)]
        return ROW.format(self.mesh, self.variation, *cells, self.note)


def measure(
    name: str, mesh: PackedMesh, variation: Variation, config: SourceConfig, steps: int
) -> Score:
    """Return what one film of one mesh loses."""
    if variation.by_hand:
        mesh = speckled(mesh, seed=0)
        fov_y = math.radians(variation.fov_deg)
        true = hand_held(variation.num_frames, fov_y=fov_y, width=WIDTH, height=HEIGHT, seed=1)
    else:
        true = film_cameras(variation, turned(variation), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_film(path, render_truth(mesh, true), variation)
        poses = PoseConfig(fov_deg=variation.fov_deg if variation.told else None)
        start = cpu_spent()
        try:
            source = read_source(path, replace(config, poses=poses))
        except RequestError as error:
            words = str(error).replace(str(path), "clip")
            return Score(
                mesh=name,
                variation=variation.name,
                known_psnr=None,
                found_psnr=None,
                note=words,
                cpu_seconds=cpu_spent() - start,
            )
        seconds = cpu_spent() - start
    known, found = compared(mesh, variation, source, true, steps)
    return Score(
        mesh=name,
        variation=variation.name,
        known_psnr=known,
        found_psnr=found,
        note=f"{seconds:.0f} s; {source.notes[0]}",
        cpu_seconds=seconds,
    )


def cpu_spent() -> float:
    """Return the processor time of this process and of those that it waited for, seconds."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def compared(
    mesh: PackedMesh, variation: Variation, source: Source, true: Cameras, steps: int
) -> tuple[float, float]:
    """Return the PSNR of unseen views under true and under found cameras."""
    assert source.frames is not None and source.fov_y is not None
    seen = source.orbit.cameras
    # The frames are cropped about their centre: the same share of the true tangent plane.
    crop = math.tan(0.5 * float(seen.fov_y[0])) / math.tan(0.5 * source.fov_y)
    fov = 2 * math.atan(crop * math.tan(math.radians(0.5 * variation.fov_deg)))
    chosen = true[list(source.frames)]
    chosen = Cameras(
        c2w=chosen.c2w,
        fov_y=torch.full((len(chosen),), fov),
        width=seen.width,
        height=seen.height,
    )
    azimuth = 0.4 + 2 * math.pi * (torch.arange(12) + 0.37) / 12
    level = replace(variation, jitter_deg=0.0)
    unseen = replace(
        film_cameras(level, azimuth, seed=0),
        fov_y=torch.full((12,), fov),
        width=seen.width,
        height=seen.height,
    )
    truth = render_truth(mesh, unseen)
    config = FitConfig(num_steps=steps)
    field = fitted(replace(source.orbit, cameras=chosen), config)
    known = float(psnr_in_box(render_views(field, unseen), truth).mean())
    some = mesh.vertices[:: max(1, len(mesh.vertices) // 500)].float()
    moved = similarity(some, chosen, seen).carry(unseen)
    field = fitted(source.orbit, config)
    found = float(psnr_in_box(render_views(field, moved), replace(truth, cameras=moved)).mean())
    return known, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of GLB files")
    parser.add_argument("--names", nargs="*", help="only these files, without .glb")
    parser.add_argument("--variations", nargs="*", help="only these")
    parser.add_argument(
        "--even", action="store_true", help="look for even turns only, not by the object's texture"
    )
    parser.add_argument("--size", type=int, default=128, help="longer side of frames, pixels")
    parser.add_argument("--steps", type=int, default=FitConfig().num_steps)
    parser.add_argument("--json", type=Path, help="where to write the scores")
    arguments = parser.parse_args()
    print(ROW.format("mesh", "variation", "known", "found", "lost", "what was found"))
    config = SourceConfig(size=arguments.size, by_texture=not arguments.even)
    scores: list[Score] = []
    for path in sorted(arguments.folder.glob("*.glb")):
        if arguments.names and path.stem not in arguments.names:
            continue
        mesh = read_glb(path)
        for variation in VARIATIONS:
            if arguments.variations and variation.name not in arguments.variations:
                continue
            scores.append(measure(path.stem, mesh, variation, config, arguments.steps))
            print(scores[-1].line(), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(row) for row in scores], indent=1))
    for variation in dict.fromkeys(row.variation for row in scores):
        rows = [row for row in scores if row.variation == variation]
        losses = [
            row.known_psnr - row.found_psnr
            for row in rows
            if row.known_psnr is not None and row.found_psnr is not None
        ]
        mean = f"{sum(losses) / len(losses):.2f}" if losses else "-"
        worst = f"{max(losses):.2f}" if losses else "-"
        refused = len(rows) - len(losses)
        print(f"{variation:16s} lost {mean} dB on average, {worst} at most; {refused} refused")


if __name__ == "__main__":
    main()
