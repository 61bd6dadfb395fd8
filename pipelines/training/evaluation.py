"""Scores of the shipped model: is what was asked for what one gets?"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from einops import rearrange

from pipelines.models.embedded import EmbeddedModel, finished
from pipelines.request import GenerationRequest
from pipelines.training.captions import with_article
from pipelines.training.features import orbit_feature, retrieval_rank
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.autoencoder import frames_from_orbit
from pipelines.video.checkpoint import load_tensors
from threed.orbit import OrbitVideo, display_frames

NUM_FRAMES = 24
SHEET_FRAMES = (0, 4, 8, 14, 19)
SHEET_COLUMNS = 2


@dataclass(frozen=True, kw_only=True)
class NameScore:
    """How one known name came out."""

    name: str
    prompt: str
    rank: int
    """Place of the name asked for among all known names, 1 is first; twins count as one."""


def evaluate(
    folder: Path,
    *,
    num_names: int,
    num_steps: int | None,
    guidance_scale: float | None,
    seed: int,
    out: Path,
) -> dict[str, object]:
    """Generate known names drawn by the seed, rank each against rendered truth, write the results.

    For each name its plain prompt ("a wooden chair") is generated on the default orbit. Its feature
    (`features.orbit_feature`) is compared with those of the training designs, rendered; a name
    stands for its nearest design. Names whose designs are one to the eye (`features.merge_twins`,
    table shipped in known.safetensors) count as one name. The baseline ranks a random other name's
    clip instead and so shows what chance gives.

    Returns:
        The report, which also lies in `out`/report.json beside sheet.png.
    """
    model = EmbeddedModel.load(folder)
    known, metadata = load_tensors(folder / "known.safetensors")
    twins = json.loads(metadata["twins"])
    features = known["features"].float() / 127
    merged = [twins.get(name, name) for name in model.known_names]
    labels = sorted(set(merged))
    label_of_name = torch.tensor([labels.index(name) for name in merged])
    design_label = label_of_name[known["design_name"]]
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(model.known_names), generator=generator)[:num_names]
    scores, orbits, wrong, seconds = [], [], [], []
    for index in chosen.tolist():
        name = model.known_names[index]
        prompt = f"{with_article(name)} {name}".strip()
        begin = time.perf_counter()
        orbit = _generate(model, prompt, seed, num_steps, guidance_scale)
        seconds.append(time.perf_counter() - begin)
        feature = orbit_feature(frames_from_orbit(orbit))
        wanted = int(label_of_name[index])
        rank = retrieval_rank(feature, features, design_label, wanted)
        scores.append(NameScore(name=name, prompt=prompt, rank=rank))
        other = int(label_of_name[int(chosen[len(scores) % len(chosen)])])
        wrong.append(retrieval_rank(feature, features, design_label, other))
        orbits.append(orbit)
    ranks = torch.tensor([score.rank for score in scores])
    report: dict[str, object] = {
        "num_known_names": len(model.known_names),
        "num_after_merging_twins": len(labels),
        "num_prompts": len(scores),
        "seed": seed,
        "num_steps": num_steps or model.settings.num_steps,
        "guidance_scale": guidance_scale or model.settings.guidance_scale,
        "first": int((ranks == 1).sum()),
        "among_five": int((ranks <= 5).sum()),
        "baseline_among_five": int((torch.tensor(wrong) <= 5).sum()),
        "median_seconds_a_clip": float(torch.tensor(seconds).median()),
        "names": [asdict(score) for score in scores],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    write_png(contact_sheet(_sheet(orbits)), out / "sheet.png")
    summary = {key: value for key, value in report.items() if key != "names"}
    print(json.dumps(summary, indent=1))
    return report


def _generate(
    model: EmbeddedModel,
    prompt: str,
    seed: int,
    num_steps: int | None,
    guidance_scale: float | None,
) -> OrbitVideo:
    request = GenerationRequest(
        prompt=prompt,
        seed=seed,
        num_frames=NUM_FRAMES,
        num_steps=num_steps,
        guidance_scale=guidance_scale,
    )
    return finished(model.sample(request, torch.Generator().manual_seed(seed)))


def _sheet(orbits: list[OrbitVideo]) -> torch.Tensor:
    """Return some views of every orbit, a few orbits a row."""
    views = torch.stack([display_frames(orbit)[list(SHEET_FRAMES)] for orbit in orbits])
    missing = -len(views) % SHEET_COLUMNS
    views = torch.cat([views, torch.ones_like(views[:1]).expand(missing, -1, -1, -1, -1)])
    return rearrange(views, "(r n) f h w c -> r (n f) h w c", n=SHEET_COLUMNS)
