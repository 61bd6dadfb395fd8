"""Do a generated clip's views show one thing? A field of every other one must foretell the rest.

    python -m benchmarks.consistency [--clips 50] [--no-redraw] [--truth DATASET] [--json out.json]

The embedded model draws known names, those that `pipelines.training evaluate` draws first, and the
chain takes each as far as it is drawn again. A field is fitted to a clip's even frames and judged
by the odd ones, PSNR in the alpha's box widened by 4 pixels: `drawn` is the clip as first drawn,
`again` as the chain keeps it, `render` the same name's render out of DATASET, the file of meshes
(or the folder of renders) that the weights were trained on. `rank` is the kept clip's place as in
the evaluation: a clip that agrees with itself but shows something else is no success.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from pipelines.english import plain_prompt
from pipelines.generate import generate
from pipelines.models.catalogue import WEIGHTS_FOLDER
from pipelines.models.embedded import EmbeddedModel
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from pipelines.run_request import write_request
from pipelines.training.evaluation import EvaluationConfig, Judge, Studio, drawn_names
from pipelines.training.features import orbit_feature
from pipelines.training.orbits import Orbits, network_frames, open_orbits
from pipelines.training.renders import RenderConfig
from pipelines.video.autoencoder import frames_from_orbit, orbit_from_frames
from threed.cameras import Cameras
from threed.errors import ReconstructionError
from threed.fit import FitConfig, fit
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.progress import finish
from threed.render import render_views
from threed.run_folder import RunFolder, shown_orbit

FIGURES = ("drawn", "again", "render")
LINE = "{:28s} {:>5}" + " {:>7s}" * len(FIGURES)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One name's figures; None where no surface was found or nothing was to be fitted."""

    name: str
    rank: int
    drawn: float | None
    """PSNR of the odd frames of the clip as first drawn, dB."""
    again: float | None
    """The same of the clip as the chain keeps it."""
    render: float | None
    """The same of the true render."""


def held_out_psnr(orbit: OrbitVideo, config: FitConfig | None = None) -> float | None:
    """Return how well a field of the even frames foretells the odd ones, dB inside the box.

    None where the even frames show no solid thing.
    """
    even, odd = (orbit.select(list(range(first, orbit.num_frames, 2))) for first in (0, 1))
    try:
        field = finish(fit(even, config or FitConfig(), torch.Generator().manual_seed(0)))
    except ReconstructionError:
        return None
    return float(psnr_in_box(render_views(field, odd.cameras), odd).mean())


def kept(clip: OrbitVideo, prompt: str, model: VideoModel) -> OrbitVideo:
    """Return a prompt's clip as the chain keeps it; as it is where it shows no solid thing."""
    request = GenerationRequest(prompt=prompt)
    with TemporaryDirectory() as place, RunFolder.create(place) as folder:
        write_request(request, folder)
        with folder.stage("orbit") as temporary:
            write_orbit(temporary, clip)
        steps = generate(request, folder, model)
        try:
            while not folder.done("redraw"):
                next(steps)
        except ReconstructionError:
            return clip
        finally:
            steps.close()
        return read_orbit(shown_orbit(folder.path))


def default_orbits(orbits: Orbits, names: set[str]) -> dict[str, OrbitVideo]:
    """Return a dataset's default orbits of these names, the first design of each."""
    listing, found = orbits.listing(), {}
    for shard in orbits.shards():
        for index in shard.object.unique().tolist():
            name = listing[index].name
            if name not in names or name in found:
                continue
            first = int((shard.object == index).nonzero()[0])
            size = shard.frames.shape[2]
            cameras = Cameras(
                c2w=shard.c2w[first], fov_y=shard.fov_y[first], width=size, height=size
            )
            found[name] = orbit_from_frames(network_frames(shard.frames[first]), cameras)
    return found


def main() -> None:
    """Print a line a clip, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=50, help="how many names are drawn")
    parser.add_argument("--no-redraw", action="store_true", help="only the clips as first drawn")
    parser.add_argument("--truth", type=Path, help="dataset of the same names' renders")
    parser.add_argument("--model", type=Path, default=WEIGHTS_FOLDER / "embedded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    config = EvaluationConfig(num_names=arguments.clips, seed=arguments.seed)
    model = EmbeddedModel.load(arguments.model)
    judge, studio = Judge(arguments.model, model.known.names), Studio(model, config)
    names = drawn_names(model, config)
    renders = {}
    if arguments.truth is not None:
        render = RenderConfig(size=model.settings.size, num_orbits=1)
        orbits = open_orbits(arguments.truth, render, names=set(names))
        renders = default_orbits(orbits, set(names))
    rows: list[Row] = []
    print(LINE.format("name", "rank", *FIGURES))
    for name in names:
        prompt, render = plain_prompt(name), renders.get(name)
        clip = studio.draw(prompt)
        again = None if arguments.no_redraw else kept(clip, prompt, model)
        row = Row(
            name=name,
            rank=judge.rank(orbit_feature(frames_from_orbit(again or clip)), name),
            drawn=held_out_psnr(clip),
            again=None if again is None else held_out_psnr(again),
            render=None if render is None else held_out_psnr(render),
        )
        rows.append(row)
        values = [getattr(row, figure) for figure in FIGURES]
        shown = ["-" if value is None else f"{value:.2f}" for value in values]
        print(LINE.format(name, row.rank, *shown), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    for figure in FIGURES:
        known = [value for row in rows if (value := getattr(row, figure)) is not None]
        if known:
            print(f"{figure}: {median(known):.2f} dB, the median of {len(known)}")
    print(f"among the five nearest: {sum(row.rank <= 5 for row in rows)} of {len(rows)}")


if __name__ == "__main__":
    main()
