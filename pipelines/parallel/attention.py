"""Attention over a sequence whose tokens are spread over ranks, exact for any share of each.

Two ways, both without padding, for ranks may hold different numbers of tokens. Ulysses (Jacobs et
al., "DeepSpeed Ulysses") trades tokens for heads and back, two exchanges a call, on at most as many
ranks as there are heads. Ring attention (Liu et al., "Ring Attention with Blockwise Transformers")
passes keys and values around while each rank keeps its queries; it knows no such limit and never
holds more than two ranks' keys at once.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pipelines.video.layers import Attend

AttentionKind = Literal["ulysses", "ring"]


def choose_attention(num_heads: int, num_ranks: int) -> AttentionKind:
    """Return Ulysses where there is a head for every rank, for it waits less; else the ring."""
    return "ulysses" if num_ranks <= num_heads else "ring"


def spread_attention(kind: AttentionKind, counts: Sequence[int]) -> Attend:
    """Return attention among all ranks' tokens; `counts` are the tokens of each rank in order."""
    attend = ulysses_attention if kind == "ulysses" else ring_attention
    return partial(attend, counts=tuple(counts))


def ulysses_attention(
    q: Float[Tensor, "batch head token width"],
    k: Float[Tensor, "batch head token width"],
    v: Float[Tensor, "batch head token width"],
    counts: tuple[int, ...],
) -> Float[Tensor, "batch head token width"]:
    """Return this rank's tokens attended to all ranks' tokens, each rank doing some heads of all.

    Raises:
        ValueError: There are more ranks than heads.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    batch, num_heads, num_tokens, width = q.shape
    if size > num_heads:
        raise ValueError(f"{num_heads} heads do not go round {size} ranks; use the ring")
    bounds = [num_heads * i // size for i in range(size + 1)]
    heads = [slice(start, stop) for start, stop in pairwise(bounds)]
    mine = heads[rank].stop - heads[rank].start
    # One after another, so that no more than one is held in several copies.
    all_q, all_k, all_v = (
        torch.cat(
            _exchange(
                [x[:, part] for part in heads], [(batch, mine, count, width) for count in counts]
            ),
            dim=2,
        )
        for x in (q, k, v)
    )
    attended = F.scaled_dot_product_attention(all_q, all_k, all_v)
    received = _exchange(
        list(attended.split(counts, dim=2)),
        [(batch, part.stop - part.start, num_tokens, width) for part in heads],
    )
    return torch.cat(received, dim=1)


def ring_attention(
    q: Float[Tensor, "batch head token width"],
    k: Float[Tensor, "batch head token width"],
    v: Float[Tensor, "batch head token width"],
    counts: tuple[int, ...],
) -> Float[Tensor, "batch head token width"]:
    """Return this rank's tokens attended to all ranks', whose keys come by in turn.

    The softmax over all keys is put together from those over each rank's, by their logarithms of
    the sum of exponentials (Milakov and Gimelshein, "Online normalizer calculation for softmax").
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    block = torch.stack([k, v])
    out = torch.zeros_like(q, dtype=torch.float32)
    total = torch.full(q.shape[:3], -torch.inf, device=q.device)
    for step in range(size):
        # The next keys travel while these are attended to; the last ones go nowhere.
        count = counts[(rank - step - 1) % size]
        transfers, incoming = _pass_on(block, count) if step < size - 1 else ([], block)
        attended, lse = _attend_with_lse(q, block[0], block[1])
        both = torch.logaddexp(total, lse)
        out *= (total - both).exp()[..., None]
        out.addcmul_(attended.float(), (lse - both).exp()[..., None])
        total = both
        for transfer in transfers:
            transfer.wait()
        block = incoming
    return out.to(q.dtype)


def _pass_on(block: Tensor, count: int) -> tuple[list[dist.Work], Tensor]:
    """Send keys and values to the next rank and receive `count` tokens' from the one before."""
    rank, size = dist.get_rank(), dist.get_world_size()
    incoming = block.new_empty(*block.shape[:3], count, block.shape[4])
    transfers = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, block, (rank + 1) % size),
            dist.P2POp(dist.irecv, incoming, (rank - 1) % size),
        ]
    )
    return transfers, incoming


def _attend_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return attention and, in float32, the logarithm of each query's sum of exponentials.

    Torch has no public call that tells the latter and holds no matrix of all scores. These two are
    what `scaled_dot_product_attention` itself calls; the tests compare them with plain attention.
    """
    if q.device.type == "cuda":
        out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, True)
        # The kernel pads its rows of sums.
        return out, lse[..., : q.shape[2]].float()
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    return out, lse.float()


def _exchange(parts: list[Tensor], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Send the i-th part to rank i, and return what each rank sent here, of the given shapes."""
    sent = torch.cat([part.reshape(-1) for part in parts])
    sizes = [torch.Size(shape).numel() for shape in shapes]
    received = sent.new_empty(sum(sizes))
    dist.all_to_all_single(received, sent, sizes, [part.numel() for part in parts])
    return [part.view(shape) for part, shape in zip(received.split(sizes), shapes, strict=True)]
