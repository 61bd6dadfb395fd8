"""A bank of five orbits and a network small enough to learn it, for tests of training."""

import torch

from pipelines.training.bank import LatentBank
from pipelines.training.clips import ClipConfig
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.conditioning import RAY_CHANNELS
from pipelines.video.dit import DiTConfig

CONFIG = DiTConfig(
    latent_channels=4,
    ray_channels=RAY_CHANNELS,
    text_width=8,
    patch_frames=2,
    patch_size=2,
    width=16,
    depth=1,
    num_heads=2,
    mlp_ratio=2.0,
)
CLIPS = ClipConfig(lengths=(4, 8), shares=(0.5, 0.5), give_picture=0.0)


def make_bank() -> LatentBank:
    """Return a bank whose latents tell their orbit (channel 0) and frame (channel 1)."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(5, 8, 4, 4, 4, generator=generator)
    latents[:, :, 0] = torch.arange(5.0)[:, None, None, None]
    latents[:, :, 1] = torch.arange(8.0)[:, None, None]
    return LatentBank(
        latents=latents.half(),
        rays=torch.randn(5, 8, RAY_CHANNELS, 4, 4, generator=generator).half(),
        azimuth=torch.zeros(5, 8),
        captions=torch.arange(10).view(5, 2),
        # The last orbit is of a thing without a name.
        named=torch.arange(4),
        turning=torch.arange(5),
        moving=torch.zeros(0, dtype=torch.long),
        level=torch.tensor([0, 3, 4]),
        default=torch.tensor([0, 3]),
        painted=torch.tensor([1, 3]),
        tokens=torch.randn(10, 3, 8, generator=generator).half(),
        pooled=torch.randn(10, 8, generator=generator).half(),
        texts=[f"thing {i}" for i in range(10)],
        channel_weight=torch.tensor([2.0, 0.0, 1.0, 1.0]),
        autoencoder=Autoencoder(
            AutoencoderConfig(latent_channels=4, stride=1, width=8, depth=1, pixel_width=4)
        ),
    )
