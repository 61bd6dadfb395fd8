"""A real diffusers transformer, tiny and of random weights, on several processes."""

from pathlib import Path

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel
from torch import Tensor
from torch.testing import assert_close

from pipelines.errors import RequestError
from pipelines.parallel.diffusers_transformer import diffusers_handlers, spread_diffusers
from pipelines.parallel.ranks import Ranks
from tests.pipelines.parallel.processes import run_ranks


def make_transformer() -> WanTransformer3DModel:
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=32,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    ).eval()


def call_twice(transformer: WanTransformer3DModel) -> list[Tensor]:
    """Call it as a sampler does, at two noise levels; 36 tokens and four heads."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 4, 4, 6, 6, generator=generator)
    text = torch.randn(2, 5, 16, generator=generator)
    with torch.no_grad():
        return [
            transformer(
                hidden_states=latents,
                timestep=torch.tensor([level, level]),
                encoder_hidden_states=text,
                return_dict=False,
            )[0]
            for level in (900, 200)
        ]


def call_on_ranks() -> list[Tensor] | None:
    ranks = Ranks(torch.device("cpu"))
    transformer = make_transformer()
    spread_diffusers(transformer, ranks)
    if not ranks.leads:
        return ranks.serve(diffusers_handlers(transformer, ranks))
    try:
        return call_twice(transformer)
    finally:
        ranks.dismiss()


@pytest.mark.parametrize("size", [2, 4])
def test_every_call_is_that_of_one_process(tmp_path: Path, size: int) -> None:
    found, *followers = run_ranks(size, tmp_path, call_on_ranks)
    assert followers == [None] * (size - 1)
    for one, other in zip(call_twice(make_transformer()), found, strict=True):
        assert_close(one, other, atol=1e-5, rtol=0)


def refusals_here() -> list[str]:
    ranks = Ranks(torch.device("cpu"))
    with pytest.raises(RequestError) as ring:
        spread_diffusers(make_transformer(), ranks, "ring")
    planless = CogVideoXTransformer3DModel(
        num_attention_heads=1, attention_head_dim=16, num_layers=1, text_embed_dim=8
    )
    with pytest.raises(RequestError) as no_plan:
        spread_diffusers(planless, ranks)
    return [str(ring.value), str(no_plan.value)]


def test_what_diffusers_cannot_spread_is_refused(tmp_path: Path) -> None:
    ring, no_plan = run_ranks(2, tmp_path, refusals_here)[1]
    assert "needs a GPU; use 'ulysses'" in ring
    assert "CogVideoXTransformer3DModel runs in one process alone" in no_plan
