"""A large model's clip on two processes, tiny weights of the real classes: that of one process."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pipelines.errors import InstallationError, RequestError
from pipelines.models.diffusers_video import open_model
from pipelines.models.large import LARGE_MODELS
from pipelines.models.large_card import Canvas, LargeModelCard
from pipelines.models.loading import load_transformer
from pipelines.models.machine import GB, Gpu, Machine
from pipelines.models.memory import Mode
from pipelines.models.on_disk import Snapshot
from pipelines.parallel.large import agreed_mode, check_spread, follow_large, lead_large
from pipelines.parallel.ranks import Ranks
from pipelines.request import GenerationRequest
from tests.pipelines.models import tiny
from tests.pipelines.parallel.processes import run_ranks
from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import orbit_cameras

REQUEST = GenerationRequest(prompt="a ball", num_frames=8, num_steps=2, num_tries=1)
CARDS = {"wan": "wan2.1-t2v-1.3b", "wan22": "wan2.2-ti2v-5b"}


def card_of(family: str) -> LargeModelCard:
    card = next(card for card in LARGE_MODELS if card.name == CARDS[family])
    return dataclasses.replace(
        card, canvases=(Canvas(width=32, height=32),), turn_frames=17, frame_step=8
    )


def draw_and_judge(model: object) -> tuple[Tensor, Tensor]:
    """Return a drawn clip and the clean estimate of a given one."""
    steps = model.sample(REQUEST, torch.Generator().manual_seed(7))  # type: ignore[attr-defined]
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            drawn = finished.value.albedo
            break
    clean = draw_sphere(orbit_cameras(8, size=32), torch.tensor([0.8, 0.3, 0.1]))
    judged = model.denoise(clean, 0.5, REQUEST, torch.Generator().manual_seed(3), 2)  # type: ignore[attr-defined]
    return drawn, judged.albedo


def draw_on_ranks(family: str, folder: Path, mode: Mode) -> tuple[Tensor, Tensor] | None:
    ranks = Ranks(torch.device("cpu"))
    card, snapshot = card_of(family), Snapshot(folder=folder, commit="c0ffee")
    check_spread(card, snapshot, ranks, "ulysses")
    if not ranks.leads:
        handlers = follow_large(card, snapshot, mode, ranks, "ulysses", torch.float32)
        return ranks.serve(handlers)
    model = lead_large(card, snapshot, mode, ranks, "ulysses", torch.float32)
    try:
        # A cancelled clip leaves the followers waiting for the next.
        cancelled = model.sample(REQUEST, torch.Generator().manual_seed(1))
        next(cancelled)
        cancelled.close()
        return draw_and_judge(model)
    finally:
        ranks.dismiss()


@pytest.mark.parametrize(("family", "mode"), [("wan", "fp8"), ("wan22", "staged")])
def test_two_processes_draw_the_clip_that_one_draws(
    tmp_path: Path, family: str, mode: Mode
) -> None:
    folder = tiny.save(family, tmp_path / family)
    (drawn, judged), nothing = run_ranks(2, tmp_path, draw_on_ranks, family, folder, mode)
    assert nothing is None
    alone = open_model(
        card_of(family), Snapshot(folder=folder, commit=""), mode, "cpu", torch.float32
    )
    for found, expected in zip((drawn, judged), draw_and_judge(alone), strict=True):
        assert expected.std() > 0.01
        # Frames are kept in 256 steps, and a value between two may fall to either.
        assert_close(found, expected, atol=1.01 / 255, rtol=0)
        assert (found - expected).abs().mean() < 1e-4


def test_a_follower_reads_nothing_but_the_transformer(tmp_path: Path) -> None:
    folder = tiny.save("wan", tmp_path / "wan")
    for part in ("text_encoder", "vae"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
    transformer = load_transformer("wan", folder, torch.float32)
    assert not any(parameter.requires_grad for parameter in transformer.parameters())
    weights = next((folder / "transformer").glob("*.safetensors"))
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(InstallationError, match="transformer cannot be loaded"):
        load_transformer("wan", folder, torch.float32)


CASES = {
    (80, 80): ("resident", "resident"),
    (80, 17): ("staged", "staged"),
    (80, 7): ("fp8", "fp8"),
    (80, 6.3): ("must fit each GPU whole", "must fit each GPU whole"),
    (80, 1): ("another process is too small", "needs at least"),
}
"""Free memory of the two ranks' GPUs, GB, and what each then says."""


def modes_of(name: str) -> list[str]:
    ranks = Ranks(torch.device("cpu"))
    card = next(card for card in LARGE_MODELS if card.name == name)
    said = []
    for free_gb in CASES:
        free = int(free_gb[ranks.rank] * GB)
        gpu = Gpu(name="Card X", memory=80 * GB, free=free, capability=(9, 0))
        try:
            said.append(agreed_mode(card, ranks, Machine(gpus=(gpu,), ram=256 * GB)))
        except RequestError as error:
            said.append(str(error))
    return said


def test_the_ranks_agree_on_what_fits_all_of_them(tmp_path: Path) -> None:
    said = run_ranks(2, tmp_path, modes_of, "wan2.1-t2v-1.3b")
    for rank in (0, 1):
        for sentence, words in zip(said[rank], CASES.values(), strict=True):
            assert words[rank] in sentence


def refusals(families: list[str], folder: Path) -> list[str]:
    ranks = Ranks(torch.device("cpu"))
    said = []
    for family in families:
        card = next(card for card in LARGE_MODELS if card.architecture == family)
        with pytest.raises(RequestError) as refused:
            check_spread(card, Snapshot(folder=folder / family, commit=""), ranks, "ulysses")
        said.append(str(refused.value))
    return said


def test_what_cannot_be_spread_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    families = ["cogvideox", "ltx", "ltx2", "hunyuan15", "sana_wm"]
    for family in families:
        folder = tiny.save(family, tmp_path / family)
        for file in folder.rglob("*.safetensors"):
            file.unlink()
    (said,) = run_ranks(1, tmp_path, refusals, families, tmp_path)
    for sentence in said:
        assert "Transformer3DModel runs in one process alone" in sentence
