"""How few steps does a clip need? Scores and seconds, weights side by side.

    python -m benchmarks.few_steps [FOLDER ...] [--steps 4 5 6 8 16] [--names 40] [--json out.json]

A FOLDER is a model's as `pipelines.training export` writes it; the shipped one if none is given.
The names are the first that `pipelines.training evaluate` draws, ranked as there. `sharpness` is
the clips' mean gradient in the object's outline over that of the same clip drawn by the same
weights in the most steps: few steps blur before they go wrong.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from pipelines.english import plain_prompt
from pipelines.models.catalogue import WEIGHTS_FOLDER
from pipelines.models.embedded import EmbeddedModel
from pipelines.training.evaluation import EvaluationConfig, Judge, Studio, drawn_names
from pipelines.training.features import orbit_feature
from pipelines.video.autoencoder import frames_from_orbit
from threed.orbit import OrbitVideo


@dataclass(frozen=True, kw_only=True)
class Row:
    """One folder at one number of steps."""

    folder: str
    steps: int
    passes: int
    """Of the network in a step: two where guidance is not learnt."""
    first: int
    among_five: int
    sharpness: float
    median_seconds: float


def gradient(orbit: OrbitVideo) -> float:
    """Return the mean absolute difference of neighbouring pixels where the object is."""
    solid = orbit.alpha > 0.9
    across = (orbit.albedo[:, :, 1:] - orbit.albedo[:, :, :-1]).abs().mean(dim=-1)
    return float(across[solid[:, :, 1:] & solid[:, :, :-1]].mean())


def main() -> None:
    """Print a row for every folder and number of steps; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[WEIGHTS_FOLDER / "embedded"])
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 8, 6, 5, 4])
    parser.add_argument("--names", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    for folder in args.folders:
        model = EmbeddedModel.load(folder)
        judge = Judge(folder, model.known.names)
        names = drawn_names(model, EvaluationConfig(num_names=args.names))
        scale, sharp = model.settings.guidance_scale, {}
        for steps in sorted(args.steps, reverse=True):
            studio = Studio(model, EvaluationConfig(num_steps=steps))
            ranks, gradients = [], []
            for name in names:
                orbit = studio.draw(plain_prompt(name))
                ranks.append(judge.rank(orbit_feature(frames_from_orbit(orbit)), name))
                steep = gradient(orbit)
                gradients.append(steep / sharp.setdefault(name, steep))
            row = Row(
                folder=str(folder),
                steps=steps,
                passes=1 if scale <= model.transformer.config.max_guidance else 2,
                first=sum(rank == 1 for rank in ranks),
                among_five=sum(rank <= 5 for rank in ranks),
                sharpness=mean(gradients),
                median_seconds=median(studio.seconds),
            )
            rows.append(row)
            print(json.dumps(asdict(row)), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
