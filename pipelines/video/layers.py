"""The transformer's parts: rotary positions on three axes, attention, MLP, embeddings of sigma."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Layer = TypeVar("Layer", bound=nn.Module)
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values (batch head token width) to what the queries find."""


def zero_init(layer: Layer) -> Layer:
    """Return the layer with weight and bias set to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def modulate(
    x: Float[Tensor, "batch token width"],
    shift: Float[Tensor, "batch 1 width"],
    scale: Float[Tensor, "batch 1 width"],
) -> Float[Tensor, "batch token width"]:
    """Return x scaled by 1 + scale and shifted (FiLM as in DiT's adaLN)."""
    return torch.addcmul(shift, x, 1 + scale)


def rope_angles(
    positions: Int[Tensor, "token 3"], head_width: int, base: float = 100.0
) -> Float[Tensor, "token pair 2"]:
    """Return cosine and sine of each channel pair's rotation (Su et al., "RoFormer", equation 34).

    The head's pairs are shared out among frame, row and column; positions may be negative, and
    only their differences matter to attention.
    """
    num_pairs = head_width // 2
    row_pairs = num_pairs * 3 // 8
    shares = (num_pairs - 2 * row_pairs, row_pairs, row_pairs)
    angles = []
    for axis, share in enumerate(shares):
        frequency = base ** (-torch.arange(share, device=positions.device) / share)
        angles.append(positions[:, axis, None].float() * frequency)
    angle = torch.cat(angles, dim=-1)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def apply_rope(
    x: Float[Tensor, "batch head token width"], rope: Float[Tensor, "token pair 2"]
) -> Float[Tensor, "batch head token width"]:
    """Rotate the channel pairs (i, i + width / 2) of every head by the tokens' angles."""
    cos, sin = rope.to(x.dtype).unbind(dim=-1)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rms_norm(
    x: Float[Tensor, "*batch width"], scale: Float[Tensor, " width"]
) -> Float[Tensor, "*batch width"]:
    """Return x divided by its root mean square, times scale, in x's own precision."""
    inverse = torch.rsqrt(x.float().square().mean(dim=-1, keepdim=True) + 1e-6)
    return x * inverse.to(x.dtype) * scale.to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention with rotary positions and normalised queries and keys.

    Normalising as in Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters".
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.scale_q = nn.Parameter(torch.ones(width // num_heads))
        self.scale_k = nn.Parameter(torch.ones(width // num_heads))
        self.out = nn.Linear(width, width)
        # Another takes its place where the tokens are spread over several processes.
        self.attend: Attend = F.scaled_dot_product_attention

    def forward(
        self, x: Float[Tensor, "batch token width"], rope: Float[Tensor, "token pair 2"]
    ) -> Float[Tensor, "batch token width"]:
        q, k, v = rearrange(
            self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.num_heads
        )
        q = apply_rope(rms_norm(q, self.scale_q), rope)
        k = apply_rope(rms_norm(k, self.scale_k), rope)
        attended = self.attend(q, k, v)
        return self.out(rearrange(attended, "b h t d -> b t (h d)"))


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SigmaEmbedding(nn.Module):
    """Noise level to a vector: sinusoids and an MLP (Peebles and Xie, DiT's timestep embedder)."""

    def __init__(self, width: int, num_frequencies: int = 128) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.up = nn.Linear(2 * num_frequencies, width)
        self.down = nn.Linear(width, width)

    def forward(self, sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        exponent = torch.arange(self.num_frequencies, device=sigma.device) / self.num_frequencies
        # The usual range of 1 to 10,000 over timesteps of 0 to 1,000.
        angle = 1000.0 * sigma[:, None].float() * torch.exp(-math.log(10_000.0) * exponent)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.up.weight.dtype)
        return self.down(F.silu(self.up(waves)))


class RayEmbedding(nn.Module):
    """A patch's camera rays to a vector: sinusoids and an MLP whose output is zero at first.

    What an object looks like turns quickly with the camera; sinusoids let a network follow (Tancik
    et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
    Domains"). A path of their own, so that the noise in a patch's latents does not drown the rays.
    """

    def __init__(self, patch_channels: int, width: int, num_octaves: int = 3) -> None:
        super().__init__()
        self.num_octaves = num_octaves
        self.up = nn.Linear(2 * num_octaves * patch_channels, width)
        self.down = zero_init(nn.Linear(width, width))

    def forward(self, rays: Float[Tensor, "*batch patch"]) -> Float[Tensor, "*batch width"]:
        octave = torch.arange(self.num_octaves, device=rays.device)
        angle = (math.pi * rays[..., None].float() * 2.0**octave).flatten(-2)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.up.weight.dtype)
        return self.down(F.silu(self.up(waves)))
