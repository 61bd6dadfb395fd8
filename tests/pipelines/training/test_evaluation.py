"""Laws of the evaluation: its prompts are fixed and fair, its scores tell right from wrong."""

import json
import re
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.consistency import held_out_psnr
from pipelines.models.catalogue import WEIGHTS_FOLDER
from pipelines.training.captions import captions_for, with_article
from pipelines.training.colours import NAMES
from pipelines.training.evaluation import Drawing, Judge
from pipelines.training.features import orbit_feature
from pipelines.training.prompts import PAINTS, PARAPHRASES, colour_prompts
from pipelines.video.autoencoder import frames_from_orbit
from pipelines.video.checkpoint import load_tensors, save_tensors
from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import orbit_cameras
from threed.fit import FitConfig
from threed.orbit import OrbitVideo

TINTS = {"red ball": (0.9, 0.1, 0.1), "green ball": (0.1, 0.9, 0.1), "lime": (0.1, 0.9, 0.12)}


def ball(name: str, size: int = 32, num_frames: int = 24) -> OrbitVideo:
    return draw_sphere(orbit_cameras(num_frames, size=size), torch.tensor(TINTS[name]))


def test_sixty_colours_are_asked_of_things_that_have_none() -> None:
    prompts = colour_prompts()
    assert len({prompt for prompt, _, _ in prompts}) == 60
    assert {colour for _, _, colour in prompts} == set(PAINTS) <= set(NAMES)
    for prompt, name, colour in prompts:
        assert prompt == f"{with_article(colour)} {colour} {name}"
        assert not set(name.split()) & set(NAMES)


def test_the_shipped_model_knows_what_is_asked() -> None:
    _, metadata = load_tensors(WEIGHTS_FOLDER / "embedded" / "known.safetensors")
    known = set(json.loads(metadata["names"]))
    assert {name for _, name, _ in colour_prompts()} <= known
    assert len(set(PARAPHRASES.values())) == len(PARAPHRASES) == 50
    assert set(PARAPHRASES.values()) <= known


def test_no_caption_gives_a_paraphrase_away() -> None:
    generator = torch.Generator().manual_seed(0)
    for text, name in PARAPHRASES.items():
        # Every noun that training calls the thing by: the name and, by chance, its synonyms.
        captions = captions_for(name, [], 200, generator)
        assert text not in captions
        nouns = {re.sub(r"^(an?|the) ", "", caption) for caption in captions[1:]}
        for noun in nouns:
            assert not re.search(rf"\b{re.escape(noun)}\b", text), (text, noun)


def test_a_clip_ranks_first_under_its_own_name_and_twins_share_a_place(tmp_path: Path) -> None:
    names = sorted(TINTS)
    features = torch.stack([orbit_feature(frames_from_orbit(ball(name))) for name in names])
    save_tensors(
        {
            "features": (features * 127).round().to(torch.int8),
            "design_name": torch.arange(len(names)),
        },
        tmp_path / "known.safetensors",
        {"names": json.dumps(names), "twins": json.dumps({"lime": "green ball"})},
    )
    judge = Judge(tmp_path, names)
    assert judge.labels == ["green ball", "red ball"]
    red, lime = (Drawing.of(ball(name)).feature for name in ("red ball", "lime"))
    assert [judge.rank(red, name) for name in names] == [2, 2, 1]
    assert [judge.rank(lime, name) for name in names] == [1, 1, 2]


def test_views_that_show_two_things_foretell_each_other_badly() -> None:
    one = ball("red ball")
    other = ball("green ball")
    odd = (torch.arange(one.num_frames) % 2).bool()[:, None, None, None]
    mixed = replace(one, albedo=torch.where(odd, other.albedo, one.albedo))
    config = FitConfig(num_steps=20, carving=None)
    whole, torn = held_out_psnr(one, config), held_out_psnr(mixed, config)
    assert whole is not None
    assert torn is not None
    assert whole > torn + 6
    nothing = replace(one, alpha=torch.zeros_like(one.alpha), albedo=torch.zeros_like(one.albedo))
    assert held_out_psnr(nothing, config) is None
