"""Measures what multi-view score distillation adds to the views that a level orbit does not show.

    python -m benchmarks.distillation CORPUS [--objects 20] [--settings none default]
        [--source true generated] [--json out.json] [--pictures folder]

CORPUS holds GLB files with a `captions.csv`, the ones that the embedded model was trained on. Of
each object a level orbit (elevation 15°) is taken, either rendered from the mesh (`true`) or drawn
by the embedded model from the object's name (`generated`); a field is fitted to it alone, and
finished under each of the settings. All are judged against the mesh seen from above (50°) and from
below (-25°), inside the box of the true alpha, four pixels wider. Seconds are the processor's.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from benchmarks.reconstruction import render_truth
from pipelines.english import plain_prompt
from pipelines.generate import LIGHT_DISTILLATION, critic_of, stage_generator
from pipelines.models.catalogue import load_model
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from pipelines.training.captions import choose_rows, readable_name
from pipelines.training.meshes import CaptionRow, PackedMesh, read_caption_rows, read_glb
from threed.cameras import orbit_cameras
from threed.distillation import DistillationConfig, distil
from threed.errors import ReconstructionError
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.mesh import MeshConfig, extract_mesh
from threed.metrics import compare_surfaces, psnr_in_box
from threed.orbit import OrbitVideo, display_frames
from threed.progress import finish
from threed.render import render_views

SIZE = 128
LEVEL_DEG, ABOVE_DEG, BELOW_DEG = 15.0, 50.0, -25.0
NUM_VIEWS = 8
SOURCES = ("true", "generated")
SETTINGS: dict[str, DistillationConfig | None] = {
    "none": None,
    # The same steps on the input's frames alone: what the model adds stands out against these.
    "no model": DistillationConfig(weight=1e-9),
    "default": DistillationConfig(),
    "light": LIGHT_DISTILLATION,
    "medium": DistillationConfig(num_rounds=3, steps_a_round=24, noise=(0.8, 0.5)),
    "three": DistillationConfig(num_rounds=3, steps_a_round=24),
}
COLUMNS = ("above", "below", "level", "chamfer", "seconds")
ROW = "{:24s} {:10s} {:12s}" + " {:>8s}" * len(COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table."""

    name: str
    source: str
    setting: str
    above: float
    """PSNR of views from above, dB."""
    below: float
    """PSNR of views from below, dB."""
    level: float
    """PSNR of views at the orbit's own elevation, dB."""
    chamfer: float
    seconds: float
    """Of the processor, for the distillation."""

    def line(self) -> str:
        """Return the line as it is printed."""
        values = [f"{getattr(self, n):.{4 if n == 'chamfer' else 2}f}" for n in COLUMNS]
        return ROW.format(self.name, self.source, self.setting, *values)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A known mesh with the views that judge it."""

    request: GenerationRequest
    mesh: PackedMesh
    judges: dict[str, OrbitVideo]


def draw_rows(corpus: Path, known: list[str], count: int, seed: int) -> list[CaptionRow]:
    """Return some of the objects that the model has seen, drawn by seed."""
    rows = choose_rows(read_caption_rows(corpus), designs_per_name=1, limit=len(known), seed=0)
    rows = [row for row in rows if readable_name(row.name) in set(known)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[i] for i in order[:count].tolist()]


def subject_of(corpus: Path, row: CaptionRow) -> Subject:
    """Return an object of the corpus with its judges; their azimuths lie between the orbit's."""
    mesh = read_glb(corpus / row.file)
    name = readable_name(row.name)
    judges = {
        key: render_truth(
            mesh,
            orbit_cameras(
                NUM_VIEWS, size=SIZE, elevation=math.radians(degrees), start_azimuth=math.pi / 24
            ),
            "normals",
        )
        for key, degrees in (("above", ABOVE_DEG), ("below", BELOW_DEG), ("level", LEVEL_DEG))
    }
    request = GenerationRequest(prompt=plain_prompt(name))
    return Subject(request=request, mesh=mesh, judges=judges)


def orbit_of(subject: Subject, source: str, model: VideoModel) -> OrbitVideo:
    """Return the level orbit, rendered or drawn."""
    if source == "true":
        cameras = orbit_cameras(24, size=SIZE, elevation=math.radians(LEVEL_DEG))
        return render_truth(subject.mesh, cameras, "normals")
    return finish(model.sample(subject.request, stage_generator(0, "video")))


def measure(
    subject: Subject, source: str, model: VideoModel, settings: dict[str, DistillationConfig | None]
) -> Iterator[tuple[Score, Field]]:
    """Yield a score for each setting, with the field that it left."""
    orbit = orbit_of(subject, source, model)
    fitted = finish(fit(orbit, FitConfig(), torch.Generator().manual_seed(0)))
    denoise = critic_of(subject.request, model)
    for name, config in settings.items():
        started = time.process_time()
        field = fitted
        if config is not None:
            chance = torch.Generator().manual_seed(0)
            field = finish(distil(fitted, orbit, denoise, config, chance)).field
        seconds = time.process_time() - started
        agreement = {
            key: float(psnr_in_box(render_views(field, judge.cameras), judge).mean())
            for key, judge in subject.judges.items()
        }
        surface = extract_mesh(field, MeshConfig())
        truth = subject.mesh
        chamfer = compare_surfaces(
            surface.vertices, surface.faces, truth.vertices.numpy(), truth.faces.numpy()
        ).chamfer
        prompt = subject.request.prompt
        score = Score(
            name=prompt, source=source, setting=name, **agreement, chamfer=chamfer, seconds=seconds
        )
        yield score, field


def averages(scores: list[Score]) -> list[Score]:
    """Return a line of means for each source and setting."""
    lines = []
    for source, setting in dict.fromkeys((row.source, row.setting) for row in scores):
        rows = [row for row in scores if (row.source, row.setting) == (source, setting)]
        means = {name: statistics.fmean(getattr(row, name) for row in rows) for name in COLUMNS}
        lines.append(Score(name=f"mean of {len(rows)}", source=source, setting=setting, **means))
    return lines


def write_picture(path: Path, judges: dict[str, OrbitVideo], fields: list[Field]) -> None:
    """Write the truth and, below it, each setting's field, from above and from below."""
    chosen = {key: judges[key].select([0, 2, 4, 6]) for key in ("above", "below")}
    rows = [torch.cat([display_frames(judge) for judge in chosen.values()])]
    rows += [
        torch.cat([display_frames(render_views(f, j.cameras)) for j in chosen.values()])
        for f in fields
    ]
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows])
    pixels = (sheet.clamp(0, 1) * 255).round().byte().numpy()
    height, width = pixels.shape[:2]
    Image.fromarray(pixels).resize((2 * width, 2 * height), Image.Resampling.NEAREST).save(path)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="folder with captions.csv and GLBs")
    parser.add_argument("--objects", type=int, default=20, help="how many objects")
    parser.add_argument("--seed", type=int, default=0, help="which objects")
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, default=["none", "no model", "default"]
    )
    parser.add_argument("--source", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--json", type=Path, help="where to write the scores")
    parser.add_argument("--pictures", type=Path, help="folder for a picture an object")
    return parser


def main(settings: dict[str, DistillationConfig | None] | None = None) -> None:
    """Print a line an object, source and setting, then the means."""
    arguments = build_parser().parse_args()
    settings = settings or {name: SETTINGS[name] for name in arguments.settings}
    model = load_model("embedded", "cpu")
    rows = draw_rows(arguments.corpus, list(model.known.names), arguments.objects, arguments.seed)
    print(ROW.format("object", "orbit", "setting", *COLUMNS))
    scores: list[Score] = []
    for row in rows:
        subject = subject_of(arguments.corpus, row)
        for source in arguments.source:
            fields = []
            try:
                for score, field in measure(subject, source, model, settings):
                    scores.append(score)
                    fields.append(field)
                    print(score.line(), flush=True)
            except ReconstructionError as error:
                print(f"{subject.request.prompt:24s} {source:10s} left out: {error}", flush=True)
                continue
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                path = arguments.pictures / f"{row.id}-{source}.png"
                write_picture(path, subject.judges, fields)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(score) for score in scores], indent=1))
    for line in averages(scores):
        print(line.line())


if __name__ == "__main__":
    main()
