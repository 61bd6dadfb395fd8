"""The diffusion transformer on space-time patches of latents.

A clip's latents are cut into patches of (frames, rows, columns); each patch is a token that carries
its noisy latents, the reference latents and their mask, and its cameras' rays. Text tokens stand
before them in the same sequence. Peebles and Xie, "Scalable Diffusion Models with Transformers".
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.video.conditioning import Conditioning
from pipelines.video.layers import (
    MLP,
    RayEmbedding,
    SelfAttention,
    SigmaEmbedding,
    modulate,
    rope_angles,
    zero_init,
)


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Shape of the transformer.

    Raises:
        ValueError: A field is out of range, or the width does not divide among the heads.
    """

    latent_channels: int
    """Channels of the autoencoder's latents."""
    ray_channels: int
    """Channels of the cameras' rays, a latent pixel."""
    text_width: int
    """Channels of the text encoder's tokens."""
    patch_frames: int
    """Frames that a token joins."""
    patch_size: int
    """Latent rows and columns that a token joins."""
    width: int
    depth: int
    """Number of blocks."""
    num_heads: int
    mlp_ratio: float
    """Hidden width of a block's MLP over its width."""
    max_guidance: float = 1.0
    """The strongest guidance that it has learnt to give in one pass; 1 for none."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "patch_frames", "patch_size", "width", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(
                f"width {self.width} must divide into {self.num_heads} heads of even width"
            )
        if self.max_guidance < 1:
            raise ValueError(f"max_guidance is {self.max_guidance}; it must be at least 1")

    @property
    def input_channels(self) -> int:
        """Noisy latents, reference latents, the reference mask and the rays."""
        return 2 * self.latent_channels + 1 + self.ray_channels


class DiTBlock(nn.Module):
    """Transformer block whose norms are steered by the conditioning (adaLN-Zero).

    Peebles and Xie, "Scalable Diffusion Models with Transformers", section 3.2.
    """

    def __init__(self, width: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm_attn = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = SelfAttention(width, num_heads)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = MLP(width, int(width * mlp_ratio))
        # Gates that start at zero make a fresh block the identity.
        self.modulation = zero_init(nn.Linear(width, 6 * width))

    def forward(
        self,
        x: Float[Tensor, "batch token width"],
        cond: Float[Tensor, "batch width"],
        rope: Float[Tensor, "token pair 2"],
    ) -> Float[Tensor, "batch token width"]:
        mod = rearrange(self.modulation(F.silu(cond)), "b (six d) -> six b 1 d", six=6)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = mod
        x = x + gate_attn * self.attn(modulate(self.norm_attn(x), shift_attn, scale_attn), rope)
        return x + gate_mlp * self.mlp(modulate(self.norm_mlp(x), shift_mlp, scale_mlp))


class DiT(nn.Module):
    """Noisy latents, their noise level and the conditioning to the clean latents.

    The network predicts the clean clip and the caller turns that into the flow's velocity: a token
    has as many latents as the network is wide, so a velocity's noise, which fills all of them,
    would leave no room to think, while clean clips lie on a thin manifold (Li and He, "Back to
    Basics: Let Denoising Generative Models Denoise").
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        volume = config.patch_frames * config.patch_size**2
        self.patch_in = nn.Linear(volume * config.input_channels, config.width)
        self.rays_in = RayEmbedding(volume * config.ray_channels, config.width)
        self.text_in = nn.Linear(config.text_width, config.width)
        self.pooled_in = nn.Linear(config.text_width, config.width)
        self.sigma_in = SigmaEmbedding(config.width)
        if config.max_guidance > 1:
            # As a network that was never told of guidance, at first.
            self.guidance_in = nn.Sequential(
                nn.Linear(1, config.width),
                nn.SiLU(),
                zero_init(nn.Linear(config.width, config.width)),
            )
        self.blocks = nn.ModuleList(
            DiTBlock(config.width, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.norm_out = nn.LayerNorm(config.width, elementwise_affine=False, eps=1e-6)
        self.modulation_out = zero_init(nn.Linear(config.width, 2 * config.width))
        self.patch_out = zero_init(nn.Linear(config.width, volume * config.latent_channels))

    def forward(
        self,
        x: Float[Tensor, "batch frame channel height width"],
        sigma: Float[Tensor, " batch"],
        cond: Conditioning,
        first_frame: int = 0,
    ) -> Float[Tensor, "batch frame channel height width"]:
        """Return the clean estimate, of x's shape.

        Args:
            x: Noisy latents.
            sigma: Their noise levels.
            cond: What the clips are told.
            first_frame: Frames of the clip that come before x, where x is a part of it.

        Raises:
            ValueError: The patch does not divide the clip's frames, rows or columns.
        """
        config = self.config
        grid = (
            x.shape[1] // config.patch_frames,
            x.shape[3] // config.patch_size,
            x.shape[4] // config.patch_size,
        )
        inputs = torch.cat(
            [x, cond.reference, cond.reference_mask, cond.rays.expand(len(x), -1, -1, -1, -1)],
            dim=2,
        )
        tokens = self.patch_in(patchify(inputs, config.patch_frames, config.patch_size))
        rays = patchify(cond.rays, config.patch_frames, config.patch_size)
        tokens = tokens + self.rays_in(rays)
        text = self.text_in(cond.text)
        # A unit vector's entries are tiny; of unit root mean square they are heard from the start.
        pooled = cond.pooled * config.text_width**0.5
        steer = self.sigma_in(sigma) + self.pooled_in(pooled)
        if config.max_guidance > 1:
            steer = steer + self.guidance_in(cond.guidance[:, None] - 1)
        first = first_frame // config.patch_frames
        positions = token_positions(text.shape[1], grid, x.device, first)
        rope = rope_angles(positions, config.width // config.num_heads)
        hidden = torch.cat([text, tokens], dim=1)
        for block in self.blocks:
            hidden = block(hidden, steer, rope)
        hidden = hidden[:, text.shape[1] :]
        shift, scale = rearrange(
            self.modulation_out(F.silu(steer)), "b (two d) -> two b 1 d", two=2
        )
        out = self.patch_out(modulate(self.norm_out(hidden), shift, scale))
        return unpatchify(out, grid, config.patch_frames, config.patch_size)


def patchify(
    x: Float[Tensor, "batch frame channel height width"], patch_frames: int, patch_size: int
) -> Float[Tensor, "batch token patch"]:
    """Return the clip's space-time patches as tokens, in the order frame, row, column.

    Raises:
        ValueError: The patch does not divide the clip.
    """
    if x.shape[1] % patch_frames or x.shape[3] % patch_size or x.shape[4] % patch_size:
        raise ValueError(
            f"{x.shape[1]} frames of {x.shape[3]} x {x.shape[4]} latents do not divide into "
            f"patches of {patch_frames} x {patch_size} x {patch_size}; pad the clip"
        )
    return rearrange(
        x,
        "b (f pf) c (h ph) (w pw) -> b (f h w) (pf ph pw c)",
        pf=patch_frames,
        ph=patch_size,
        pw=patch_size,
    )


def unpatchify(
    tokens: Float[Tensor, "batch token patch"],
    grid: tuple[int, int, int],
    patch_frames: int,
    patch_size: int,
) -> Float[Tensor, "batch frame channel height width"]:
    """Return the clip of these patches; `grid` counts them along frames, rows and columns."""
    return rearrange(
        tokens,
        "b (f h w) (pf ph pw c) -> b (f pf) c (h ph) (w pw)",
        f=grid[0],
        h=grid[1],
        w=grid[2],
        pf=patch_frames,
        ph=patch_size,
        pw=patch_size,
    )


def token_positions(
    num_text: int, grid: tuple[int, int, int], device: torch.device, first_frame: int = 0
) -> Int[Tensor, "token 3"]:
    """Return frame, row and column of every token; rows and columns count from the centre.

    Frames, in patches, count from `first_frame`.

    Text tokens stand at their own places on the frame axis before the clip, which tells their
    order and keeps them apart from frames.
    """
    frame, row, column = (torch.arange(n, device=device) for n in grid)
    clip = torch.stack(
        torch.meshgrid(
            frame + first_frame, row - grid[1] // 2, column - grid[2] // 2, indexing="ij"
        ),
        dim=-1,
    ).reshape(-1, 3)
    text = torch.zeros(num_text, 3, dtype=clip.dtype, device=device)
    text[:, 0] = torch.arange(-num_text, 0, device=device)
    return torch.cat([text, clip])
