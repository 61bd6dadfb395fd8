"""Pictures of latents in a moment: a linear map from a latent's channels to a colour.

Fitted once a model by least squares, from what its encoder makes of a known pattern; so it needs no
table and no small decoder, and costs one encoding of a few frames.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pipelines.models.architectures.base import Architecture
from threed.cameras import orbit_cameras
from threed.orbit import OrbitVideo

PATCHES = 16
"""Patches of colour along a side of the pattern."""
PREVIEW_SIDE = 160
RIDGE = 1e-3
"""Keeps the map finite where channels depend on one another."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """colour = latents @ weight + bias, in [0, 1] once clamped."""

    weight: Float[Tensor, "channel 3"]
    bias: Float[Tensor, " 3"]

    def __call__(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "time rows columns 3"]:
        """Return one small picture a latent frame, sRGB in [0, 1], on the CPU."""
        pixels = rearrange(latents[0].float(), "c t h w -> t h w c")
        return (pixels @ self.weight.to(pixels) + self.bias.to(pixels)).clamp(0, 1).cpu()


def fit_projection(architecture: Architecture) -> Projection:
    """Return the map that shows best what an autoencoder's latents mean."""
    stride = architecture.space_stride
    # Each patch covers two latents, so that some lie wholly inside one colour.
    video = pattern(2 * stride * PATCHES, architecture.time_stride + 1)
    latents = architecture.encode(video)
    rows, columns = latents.shape[-2:]
    colours = F.adaptive_avg_pool2d(video[0, :, 0], (rows, columns))
    samples = rearrange(latents[0], "c t h w -> (t h w) c").double()
    targets = rearrange((colours + 1) / 2, "c h w -> (h w) c").to(samples)
    return solve(samples, targets.repeat(latents.shape[2], 1))


def pattern(side: int, num_frames: int) -> Float[Tensor, "1 3 frame height width"]:
    """Return a still clip of patches of random colours, in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand((1, 3, PATCHES, PATCHES), generator=generator) * 2 - 1
    picture = F.interpolate(patches, size=(side, side), mode="nearest")
    return picture[:, :, None].expand(-1, -1, num_frames, -1, -1).contiguous()


def solve(
    samples: Float[Tensor, "sample channel"], targets: Float[Tensor, "sample 3"]
) -> Projection:
    """Return the ridge regression of colours on latents."""
    mean, colour = samples.mean(dim=0), targets.mean(dim=0)
    centred = samples - mean
    scale = centred.square().mean().clamp(min=1e-12)
    gram = centred.T @ centred + RIDGE * scale * len(samples) * torch.eye(
        samples.shape[1], dtype=samples.dtype, device=samples.device
    )
    weight = torch.linalg.solve(gram, centred.T @ (targets - colour))
    return Projection(weight=weight.float(), bias=(colour - mean @ weight).float())


def preview_clip(pictures: Float[Tensor, "time rows columns 3"]) -> OrbitVideo:
    """Return small pictures of latents as a clip, their middle square enlarged for the eye."""
    rows, columns = pictures.shape[1:3]
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    middle = pictures[:, top : top + side, left : left + side]
    large = F.interpolate(
        rearrange(middle, "f h w c -> f c h w"), size=(PREVIEW_SIDE, PREVIEW_SIDE), mode="bicubic"
    )
    return OrbitVideo(
        albedo=rearrange(large, "f c h w -> f h w c").clamp(0, 1),
        alpha=torch.ones(len(large), PREVIEW_SIDE, PREVIEW_SIDE),
        normals=None,
        cameras=orbit_cameras(len(large), size=PREVIEW_SIDE),
        kind="clip",
    )
