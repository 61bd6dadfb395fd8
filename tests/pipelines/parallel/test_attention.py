"""Attention that is spread over processes is plain attention, whoever holds which tokens."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from pipelines.parallel.attention import AttentionKind, choose_attention, spread_attention
from tests.pipelines.parallel.processes import run_ranks

COUNTS = {2: (13, 4), 4: (5, 1, 9, 2)}
KINDS: tuple[AttentionKind, ...] = ("ulysses", "ring")
CASES = ((4, 1.0), (6, 1.0), (5, 300.0))
"""Heads, and how large the scores are."""


def make_qkv(num_tokens: int, num_heads: int, loudness: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, num_heads, num_tokens, 8)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return [q * loudness, k, v]


def attend_here(
    kind: AttentionKind, counts: tuple[int, ...], num_heads: int, loudness: float
) -> Tensor:
    qkv = make_qkv(sum(counts), num_heads, loudness)
    own = [x.split(counts, dim=2)[dist.get_rank()].contiguous() for x in qkv]
    return spread_attention(kind, counts)(*own)


def attend_in_every_case(counts: tuple[int, ...]) -> list[Tensor]:
    return [attend_here(kind, counts, *case) for kind in KINDS for case in CASES]


@pytest.mark.parametrize("size", [2, 4])
def test_it_is_plain_attention(tmp_path: Path, size: int) -> None:
    """Also where heads and tokens do not divide, and where scores overflow an exponential."""
    counts = COUNTS[size]
    ranks = run_ranks(size, tmp_path, attend_in_every_case, counts)
    cases = [(kind, *case) for kind in KINDS for case in CASES]
    for (kind, num_heads, loudness), *parts in zip(cases, *ranks, strict=True):
        plain = F.scaled_dot_product_attention(*make_qkv(sum(counts), num_heads, loudness))
        assert [part.shape[2] for part in parts] == list(counts)
        error = (torch.cat(parts, dim=2) - plain).abs().max()
        # Loud scores are rounded more coarsely, in either way of attending.
        assert error < 1e-5 * max(1.0, loudness), (
            f"{kind}, {num_heads} heads, scores times {loudness}"
        )


def refuse_here() -> str:
    with pytest.raises(ValueError, match="use the ring") as refusal:
        attend_here("ulysses", (2, 2), 1, 1.0)
    return str(refusal.value)


def test_ulysses_refuses_more_ranks_than_heads(tmp_path: Path) -> None:
    assert run_ranks(2, tmp_path, refuse_here)[0].startswith("1 heads do not go round 2 ranks")
    assert choose_attention(1, 2) == "ring" and choose_attention(2, 2) == "ulysses"
