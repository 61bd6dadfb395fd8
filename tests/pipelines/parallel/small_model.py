"""A small embedded model of random weights, the same in every process that makes it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import benchmarks.parallel
from pipelines.models.embedded import EmbeddedModel, EmbeddedSettings
from pipelines.models.known_names import KnownNames
from pipelines.parallel.embedded import spread_embedded
from pipelines.video import precision
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.conditioning import RAY_CHANNELS
from pipelines.video.dit import DiT, DiTConfig
from pipelines.video.text import TEXT_WIDTH, TextEncoder

# What the fork server has imported, its children need not; they take the text encoder along too.
PRELOADED = (pytest, spread_embedded, benchmarks.parallel)
TEXT_ENCODER = TextEncoder()

AUTOENCODER = AutoencoderConfig(latent_channels=4, stride=8, width=16, depth=2, pixel_width=8)
TRANSFORMER = DiTConfig(
    latent_channels=4,
    ray_channels=RAY_CHANNELS,
    text_width=TEXT_WIDTH,
    patch_frames=2,
    patch_size=2,
    width=32,
    depth=2,
    num_heads=4,
    mlp_ratio=2.0,
)
SETTINGS = EmbeddedSettings(
    size=32,
    max_frames=48,
    num_steps=3,
    guidance_scale=2.0,
    shift=1.0,
    sampler="euler",
    familiar_similarity=0.6,
)


def make_model() -> EmbeddedModel:
    """Return the model; none of its weights is zero, so that no part of it is idle."""
    generator = torch.Generator().manual_seed(0)
    autoencoder, transformer = Autoencoder(AUTOENCODER), DiT(TRANSFORMER)
    for tensor in (*transformer.parameters(), *autoencoder.parameters(), *autoencoder.buffers()):
        torch.nn.init.normal_(tensor, std=0.1, generator=generator)
    return EmbeddedModel(transformer, autoencoder, TEXT_ENCODER, SETTINGS, KnownNames.none())


@contextmanager
def in_float32() -> Iterator[None]:
    """Compute in float32 also where bfloat16 is faster, which would hide small errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "fast_dtype", lambda device: torch.float32)
        yield
