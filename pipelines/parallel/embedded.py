"""The embedded model's two networks with their frames spread over ranks.

The transformer's tokens need one another only in attention, and the decoder's frames only their
near neighbours. So each rank does everything else on its own frames; the text's tokens, which stand
in the same sequence, go with the last rank's frames, for its share is never the largest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.errors import RequestError
from pipelines.models.embedded import EmbeddedModel
from pipelines.parallel.attention import AttentionKind, choose_attention, spread_attention
from pipelines.parallel.frames import frame_spans
from pipelines.parallel.ranks import Ranks
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import Conditioning
from pipelines.video.dit import DiT
from pipelines.video.layers import SelfAttention

TRANSFORMER = "transformer"
AUTOENCODER = "autoencoder"


@dataclass(frozen=True, kw_only=True)
class ClipPart:
    """What one rank is given of a call to the transformer; tensors on the CPU."""

    x: Float[Tensor, "batch frame channel height width"]
    sigma: Float[Tensor, " batch"]
    cond: Conditioning
    first_frame: int
    """Frames of the clip before this part's."""
    token_counts: tuple[int, ...]
    """Tokens of every rank."""
    dtype: torch.dtype | None
    """Of the leader's autocast; None where it is off."""


@dataclass(frozen=True, kw_only=True)
class LatentPart:
    """What one rank is given of a call to the decoder; the tensor on the CPU."""

    latents: Float[Tensor, "batch frame latent rows columns"]
    """Own frames and the neighbours that reach into them."""
    own: slice
    dtype: torch.dtype | None


class SpreadDiT(DiT):
    """A transformer whose calls, on the leader, are computed by all ranks; for inference."""

    def __init__(self, transformer: DiT, ranks: Ranks, attention: AttentionKind) -> None:
        super().__init__(transformer.config)
        self.load_state_dict(transformer.state_dict(), assign=True)
        self.ranks = ranks
        self.attention: AttentionKind = attention

    def forward(
        self,
        x: Float[Tensor, "batch frame channel height width"],
        sigma: Float[Tensor, " batch"],
        cond: Conditioning,
    ) -> Float[Tensor, "batch frame channel height width"]:
        part = self.ranks.scatter(TRANSFORMER, self._parts(x, sigma, cond))
        results = self.ranks.gather(self.part(part))
        return torch.cat(results, dim=1).to(x.device)

    def part(self, part: ClipPart) -> Tensor:
        """Return the clean estimate of one rank's frames, on the CPU."""
        device = self.ranks.device
        attend = spread_attention(self.attention, part.token_counts)
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.attend = attend
        with torch.no_grad(), _autocast(device, part.dtype):
            return (
                super()
                .forward(
                    part.x.to(device), part.sigma.to(device), part.cond.to(device), part.first_frame
                )
                .cpu()
            )

    def _parts(self, x: Tensor, sigma: Tensor, cond: Conditioning) -> list[ClipPart]:
        config = self.config
        spans = frame_spans(x.shape[1], config.patch_frames, self.ranks.size)
        tokens_a_frame = x.shape[3] * x.shape[4] // config.patch_size**2
        counts = [
            (span.stop - span.start) // config.patch_frames * tokens_a_frame for span in spans
        ]
        counts[-1] += cond.text.shape[1]
        dtype = _autocast_dtype(x.device)
        return [
            ClipPart(
                x=_sent(x[:, span.index]),
                sigma=_sent(sigma),
                cond=_part_of(cond, span.index, with_text=span is spans[-1]),
                first_frame=span.start,
                token_counts=tuple(counts),
                dtype=dtype,
            )
            for span in spans
        ]


class SpreadAutoencoder(Autoencoder):
    """An autoencoder whose decoding, on the leader, is done by all ranks; for inference."""

    def __init__(self, autoencoder: Autoencoder, ranks: Ranks) -> None:
        super().__init__(autoencoder.config)
        self.load_state_dict(autoencoder.state_dict(), assign=True)
        self.ranks = ranks

    def decode(
        self, latents: Float[Tensor, "batch frame latent rows columns"]
    ) -> Float[Tensor, "batch frame channel height width"]:
        num_frames = latents.shape[1]
        dtype = _autocast_dtype(latents.device)
        parts = []
        for span in frame_spans(num_frames, 1, self.ranks.size):
            # Every block looks one frame further.
            outer = span.with_halo(self.config.depth, num_frames)
            parts.append(
                LatentPart(
                    latents=_sent(latents[:, outer.index]), own=span.within(outer), dtype=dtype
                )
            )
        part = self.ranks.scatter(AUTOENCODER, parts)
        return torch.cat(self.ranks.gather(self.part(part)), dim=1).to(latents.device)

    def part(self, part: LatentPart) -> Tensor:
        """Return one rank's frames, on the CPU."""
        device = self.ranks.device
        with torch.no_grad(), _autocast(device, part.dtype):
            return super().decode(part.latents.to(device))[:, part.own].cpu()


def spread_embedded(model: EmbeddedModel, ranks: Ranks, attention: AttentionKind | None) -> None:
    """Put the spread networks in the place of a model's own, on every rank.

    On the leader the model is then used as before; the others serve with `embedded_handlers`.

    Raises:
        RequestError: Ulysses was asked for with more ranks than heads.
    """
    num_heads = model.transformer.config.num_heads
    attention = attention or choose_attention(num_heads, ranks.size)
    if attention == "ulysses" and ranks.size > num_heads:
        raise RequestError(
            f"the attention 'ulysses' spreads this model's {num_heads} heads over at most as many "
            f"processes, and there are {ranks.size}; use 'ring'"
        )
    model.transformer = SpreadDiT(model.transformer, ranks, attention).eval()
    model.autoencoder = SpreadAutoencoder(model.autoencoder, ranks).eval()


def embedded_handlers(
    model: EmbeddedModel,
) -> dict[str, Callable[[Any], Tensor]]:
    """Return what a follower answers the leader with, once `spread_embedded` has been called."""
    assert isinstance(model.transformer, SpreadDiT)
    assert isinstance(model.autoencoder, SpreadAutoencoder)
    return {TRANSFORMER: model.transformer.part, AUTOENCODER: model.autoencoder.part}


def _part_of(cond: Conditioning, frames: slice, with_text: bool) -> Conditioning:
    text = cond.text if with_text else cond.text[:, :0]
    return replace(
        cond,
        text=_sent(text),
        pooled=_sent(cond.pooled),
        rays=_sent(cond.rays[:, frames]),
        reference=_sent(cond.reference[:, frames]),
        reference_mask=_sent(cond.reference_mask[:, frames]),
        guidance=_sent(cond.guidance),
    )


def _sent(tensor: Tensor) -> Tensor:
    # A copy, for a view would be sent with all that it looks into.
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _autocast_dtype(device: torch.device) -> torch.dtype | None:
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def _autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
