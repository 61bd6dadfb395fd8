"""Scores of the shipped model: is what was asked for what one gets?"""

import json
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.english import plain_prompt
from pipelines.models.embedded import EmbeddedModel
from pipelines.request import GenerationRequest
from pipelines.training.colours import dominant_colours
from pipelines.training.features import orbit_feature, retrieval_rank
from pipelines.training.motion_scores import score_moves
from pipelines.training.prompts import PAINTED, PARAPHRASES, colour_prompts
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.autoencoder import frames_from_orbit
from pipelines.video.checkpoint import load_tensors
from threed.orbit import OrbitVideo, display_frames

NUM_FRAMES = 24
SHEET_FRAMES = (0, 4, 8, 14, 19)
SHEET_COLUMNS = 2
SHEET_CLIPS = 50
FAR_RANK = 5
"""A clip that ranks behind this is shown among the failures."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is asked of the model; the fixed prompts are in `prompts.py`."""

    num_names: int = 200
    """Known names drawn by the seed."""
    num_steps: int | None = None
    guidance_scale: float | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class PromptScore:
    """How one prompt came out."""

    prompt: str
    name: str
    """The known name that is meant."""
    rank: int
    """Place of the name meant among all known names, 1 is first; twins count as one."""
    colours: list[str]
    """Words of the colours that cover a quarter of the object or more, the largest first."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is kept of a clip: a whole one takes more memory than the model."""

    feature: Float[Tensor, " feature"]
    views: Float[Tensor, "view height width 3"]
    """As people see them, at `SHEET_FRAMES`."""
    colours: list[str]

    @staticmethod
    def of(orbit: OrbitVideo) -> "Drawing":
        """Return what the scores and the sheets need of a clip."""
        frames = frames_from_orbit(orbit)
        pixels = (rearrange(frames, "f c h w -> f h w c") + 1) * 127.5
        return Drawing(
            feature=orbit_feature(frames),
            views=display_frames(orbit)[list(SHEET_FRAMES)],
            colours=dominant_colours(pixels.round().clamp(0, 255).to(torch.uint8)),
        )


class Judge:
    """Ranks clips against rendered truth.

    A clip's feature (`features.orbit_feature`) is compared with those of the training designs,
    rendered; a name stands for its nearest design. Names whose designs are one to the eye
    (`features.merge_twins`, table shipped in known.safetensors) count as one name.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        known, metadata = load_tensors(folder / "known.safetensors")
        twins = json.loads(metadata["twins"])
        merged = [twins.get(name, name) for name in names]
        self.labels = sorted(set(merged))
        self._label = {
            name: self.labels.index(one) for name, one in zip(names, merged, strict=True)
        }
        self._features = known["features"].float() / 127
        label_of_name = torch.tensor([self._label[name] for name in names])
        self._design_label = label_of_name[known["design_name"]]

    def rank(self, feature: Float[Tensor, " feature"], name: str) -> int:
        """Return the name's place among all known names, by likeness to the clip's feature."""
        return retrieval_rank(feature, self._features, self._design_label, self._label[name])


class Studio:
    """Draws prompts with one model under one config and keeps account of the time."""

    def __init__(
        self, model: EmbeddedModel, config: EvaluationConfig, recaption: str = "template"
    ) -> None:
        self._model = model
        self._config = config
        self._recaption = recaption
        self.seconds: list[float] = []
        self.preview_seconds: list[float] = []

    def as_typed(self) -> "Studio":
        """Return one that takes every prompt as it is typed."""
        return Studio(self._model, self._config, recaption="none")

    def draw(self, prompt: str) -> OrbitVideo:
        """Return the default orbit of a prompt."""
        config = self._config
        request = GenerationRequest(
            prompt=prompt,
            seed=config.seed,
            num_frames=NUM_FRAMES,
            num_steps=config.num_steps,
            guidance_scale=config.guidance_scale,
            recaption=self._recaption,
        )
        started = time.perf_counter()
        steps = self._model.sample(request, torch.Generator().manual_seed(config.seed))
        previewed = False
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                self.seconds.append(time.perf_counter() - started)
                return stop.value
            if not previewed:
                self.preview_seconds.append(time.perf_counter() - started)
                previewed = True


def evaluate(folder: Path, config: EvaluationConfig, out: Path) -> dict[str, dict[str, Any]]:
    """Score known names, colours and other words, and write the results.

    Args:
        folder: The model's.
        config: What is asked.
        out: Gets report.json, and sheets of the names, the failures, the colours, the paraphrases
            and what moves.

    Returns:
        The report.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, load_seconds = _loaded(folder)
    judge, studio = Judge(folder, model.known.names), Studio(model, config)

    report: dict[str, dict[str, Any]] = {
        "model": {
            "num_known_names": len(model.known.names),
            "num_after_merging_twins": len(judge.labels),
            "num_steps": config.num_steps or model.settings.num_steps,
            "guidance_scale": config.guidance_scale or model.settings.guidance_scale,
            "seed": config.seed,
        },
        "names": _name_scores(drawn_names(model, config), studio, judge, out),
        "colours": _colour_scores(studio, judge, out),
        "paraphrases": _paraphrase_scores(studio, judge, out),
    }
    report["cost"] = _cost(load_seconds, studio)
    # After the cost, which counts this process's memory.
    if model.abilities.moves:
        report |= score_moves(model, out, config.seed)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    summary = {
        part: {key: value for key, value in scores.items() if key != "prompts"}
        for part, scores in report.items()
    }
    print(json.dumps(summary, indent=1))
    return report


def measure_cost(folder: Path, config: EvaluationConfig, out: Path) -> dict[str, float]:
    """Measure the cost alone, on the config's names, and write it into the report that there is.

    Raises:
        ValueError: There is no report.
    """
    report = _earlier(out)
    model, load_seconds = _loaded(folder)
    studio = Studio(model, config)
    for name in drawn_names(model, config):
        studio.draw(plain_prompt(name))
    report["cost"] = _cost(load_seconds, studio)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report["cost"]


def measure_moves(folder: Path, config: EvaluationConfig, out: Path) -> dict[str, Any]:
    """Score motions and camera moves alone, and write that into the report that there is.

    Raises:
        ValueError: There is no report.
    """
    report = _earlier(out)
    scores = score_moves(_loaded(folder)[0], out, config.seed)
    (out / "report.json").write_text(json.dumps(report | scores, indent=1) + "\n")
    return scores


def _earlier(out: Path) -> dict[str, Any]:
    path = out / "report.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing; evaluate the whole first")
    return json.loads(path.read_text("utf-8"))


def _loaded(folder: Path) -> tuple[EmbeddedModel, float]:
    """Return the folder's model and the seconds that loading it took."""
    started = time.perf_counter()
    return EmbeddedModel.load(folder), time.perf_counter() - started


def _cost(load_seconds: float, studio: Studio) -> dict[str, float]:
    return {
        "load_seconds": load_seconds,
        "median_seconds_to_preview": float(torch.tensor(studio.preview_seconds).median()),
        "median_seconds_a_clip": float(torch.tensor(studio.seconds).median()),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _name_scores(names: list[str], studio: Studio, judge: Judge, out: Path) -> dict[str, Any]:
    scores, drawings = _scored(studio, judge, [(plain_prompt(name), name) for name in names])
    _write_sheet(drawings[:SHEET_CLIPS], out / "sheet.png")
    failed = [d for d, s in zip(drawings, scores, strict=True) if s.rank > FAR_RANK]
    _write_sheet(failed, out / "failures.png")
    # What chance gives: each clip under the next one's name.
    others = zip(drawings, names[1:] + names[:1], strict=True)
    baseline = _rank_counts([judge.rank(drawing.feature, name) for drawing, name in others])
    return _ranks(scores) | {"baseline": baseline}


def _colour_scores(studio: Studio, judge: Judge, out: Path) -> dict[str, Any]:
    prompts = colour_prompts()
    scores, drawings = _scored(studio, judge, [(prompt, name) for prompt, name, _ in prompts])
    _write_sheet(drawings, out / "colours.png")
    plain = {name: Drawing.of(studio.draw(plain_prompt(name))).colours for name in PAINTED}
    asked = [colour for _, _, colour in prompts]
    return {
        "num_prompts": len(scores),
        "obeyed": sum(c in s.colours for c, s in zip(asked, scores, strict=True)),
        # How many have the colour anyway, when it is not asked for.
        "baseline": sum(colour in plain[name] for _, name, colour in prompts),
        "prompts": [asdict(score) for score in scores],
    }


def _paraphrase_scores(studio: Studio, judge: Judge, out: Path) -> dict[str, Any]:
    prompts = list(PARAPHRASES.items())
    scores, drawings = _scored(studio, judge, prompts)
    _write_sheet(drawings, out / "paraphrases.png")
    # What the network makes of the words as they are.
    as_typed, _ = _scored(studio.as_typed(), judge, prompts)
    return _ranks(scores) | {"baseline": _rank_counts([score.rank for score in as_typed])}


def drawn_names(model: EmbeddedModel, config: EvaluationConfig) -> list[str]:
    """Return the known names that the config's seed draws."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(model.known.names), generator=generator)[: config.num_names]
    return [model.known.names[i] for i in order.tolist()]


def _scored(
    studio: Studio, judge: Judge, prompts: list[tuple[str, str]]
) -> tuple[list[PromptScore], list[Drawing]]:
    """Return the scores of prompts, each with the name that it means, and what was drawn."""
    drawings = [Drawing.of(studio.draw(prompt)) for prompt, _ in prompts]
    scores = [
        PromptScore(
            prompt=prompt,
            name=name,
            rank=judge.rank(drawing.feature, name),
            colours=drawing.colours,
        )
        for (prompt, name), drawing in zip(prompts, drawings, strict=True)
    ]
    return scores, drawings


def _rank_counts(ranks: list[int]) -> dict[str, int]:
    return {
        "first": sum(rank == 1 for rank in ranks),
        "among_five": sum(rank <= 5 for rank in ranks),
        "among_ten": sum(rank <= 10 for rank in ranks),
    }


def _ranks(scores: list[PromptScore]) -> dict[str, Any]:
    return {
        "num_prompts": len(scores),
        **_rank_counts([score.rank for score in scores]),
        "prompts": [asdict(score) for score in scores],
    }


def _write_sheet(drawings: list[Drawing], path: Path) -> None:
    """Write some views of every clip, a few clips a row; no file for none."""
    path.unlink(missing_ok=True)
    if not drawings:
        return
    views = torch.stack([drawing.views for drawing in drawings])
    missing = -len(views) % SHEET_COLUMNS
    views = torch.cat([views, torch.ones_like(views[:1]).expand(missing, -1, -1, -1, -1)])
    write_png(
        contact_sheet(rearrange(views, "(r n) f h w c -> r (n f) h w c", n=SHEET_COLUMNS)), path
    )
