"""Measures what drawing a video again by what its views agree on does to it, and to the field.

    python -m benchmarks.redraw CORPUS [--objects 10] [--json out.json]

CORPUS holds GLB files with a `captions.csv`, the ones that the embedded model was trained on. The
model draws the orbit of an object from its name, a field is fitted, the orbit is drawn again, and
the field is fitted anew. Frames and field are judged against the object itself, rendered from the
same cameras, and against each other; dB in the box.
"""

import argparse
import json
import statistics
from pathlib import Path

import torch

from benchmarks.distillation import Subject, draw_rows, orbit_of, subject_of
from pipelines.generate import critic_of, stage_generator
from pipelines.models.catalogue import load_model
from pipelines.models.protocol import VideoModel
from pipelines.redraw import redraw
from threed.errors import ReconstructionError
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo
from threed.progress import finish
from threed.render import render_views

COLUMNS = (
    "frames before",
    "frames after",
    "field before",
    "field after",
    "agree before",
    "agree after",
)
ROW = "{:24s}" + " {:>13s}" * len(COLUMNS)


def measure(subject: Subject, model: VideoModel) -> dict[str, float]:
    """Return an object's figures by `COLUMNS`."""
    truth, orbit = (orbit_of(subject, source, model) for source in ("true", "generated"))
    cameras = truth.cameras

    def fitted(orbit: OrbitVideo) -> Field:
        return finish(fit(orbit, FitConfig(), torch.Generator().manual_seed(0)))

    field = fitted(orbit)
    drawn = redraw(orbit, field, critic_of(subject.request, model), stage_generator(0, "redraw 1"))
    figures = {}
    for when, clip, its in (("before", orbit, field), ("after", drawn, fitted(drawn))):
        seen = render_views(its, cameras)
        figures[f"frames {when}"] = float(psnr_in_box(clip, truth).mean())
        figures[f"field {when}"] = float(psnr_in_box(seen, truth).mean())
        figures[f"agree {when}"] = float(psnr_in_box(seen, clip).mean())
    return figures


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="folder with captions.csv and GLBs")
    parser.add_argument("--objects", type=int, default=10, help="how many objects")
    parser.add_argument("--seed", type=int, default=0, help="which objects")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser


def main() -> None:
    """Print a line an object, then the means."""
    arguments = build_parser().parse_args()
    model = load_model("embedded", "cpu")
    print(ROW.format("object", *COLUMNS))
    rows: dict[str, dict[str, float]] = {}
    for row in draw_rows(
        arguments.corpus, list(model.known.names), arguments.objects, arguments.seed
    ):
        subject = subject_of(arguments.corpus, row)
        prompt = subject.request.prompt
        try:
            figures = measure(subject, model)
        except ReconstructionError as error:
            print(f"{prompt:24s} left out: {error}", flush=True)
            continue
        rows[prompt] = figures
        print(ROW.format(prompt, *(f"{figures[name]:.2f}" for name in COLUMNS)), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1))
    means = [statistics.fmean(figures[name] for figures in rows.values()) for name in COLUMNS]
    print(ROW.format(f"mean of {len(rows)}", *(f"{mean:.2f}" for mean in means)))


if __name__ == "__main__":
    main()
