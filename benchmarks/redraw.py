"""Measures what drawing a video again by what its views agree on does to it, and to the mesh.

    python -m benchmarks.redraw CORPUS [--objects 10] [--json out.json]

CORPUS holds GLB files with a `captions.csv`, the ones that the embedded model was trained on. The
chain makes the mesh of an object's name, once with the video as it was first drawn and once with
the video drawn again. Frames and mesh are judged against the object itself, rendered from the same
cameras, and frames and field against each other; dB in the box.
"""

import argparse
import json
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.distillation import Subject, draw_rows, orbit_of, subject_of
from pipelines.generate import generate
from pipelines.models.catalogue import load_model
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from threed.errors import ReconstructionError
from threed.field import Field
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit
from threed.preview import render_mesh
from threed.render import render_views
from threed.run_folder import RunFolder, shown_orbit
from threed.textured_mesh import read_own_glb

COLUMNS = tuple(
    f"{what} {when}" for what in ("frames", "mesh", "agree") for when in ("before", "after")
)
ROW = "{:24s}" + " {:>13s}" * len(COLUMNS)


def measure(subject: Subject, model: VideoModel) -> dict[str, float]:
    """Return an object's figures by `COLUMNS`."""
    truth, figures = orbit_of(subject, "true", model), {}
    for when, again in (("before", False), ("after", True)):
        request = GenerationRequest(prompt=subject.request.prompt, redraw=again)
        with TemporaryDirectory() as place, RunFolder.create(place) as folder:
            for _ in generate(request, folder, model):
                pass
            drawn = read_orbit(shown_orbit(folder.path))
            shown = render_views(Field.load(folder.file("field.safetensors")), drawn.cameras)
            mesh = render_mesh(read_own_glb(folder.file("mesh.glb")), truth.cameras)
        figures[f"frames {when}"] = _mean(drawn, truth)
        figures[f"mesh {when}"] = _mean(mesh, truth)
        figures[f"agree {when}"] = _mean(shown, drawn)
    return figures


def _mean(seen: OrbitVideo, truth: OrbitVideo) -> float:
    return float(psnr_in_box(seen, truth).mean())


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
