"""A sheet of what the network makes while it trains."""

from pathlib import Path

import torch
from einops import rearrange

from pipelines.models.embedded import EmbeddedModel, EmbeddedSettings
from pipelines.request import GenerationRequest
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.dit import DiT
from pipelines.video.text import TextEncoder
from threed.orbit import display_frames

PROMPTS = (
    "a wooden chair",
    "a red race car",
    "a treasure chest full of gold",
    "a snowy pine tree",
    "a padlock",
    "a round table",
    "a blue sofa",
    "a windmill",
)
SHEET_SETTINGS = EmbeddedSettings(
    size=64,
    max_frames=48,
    num_steps=12,
    guidance_scale=3.0,
    shift=1.0,
    sampler="euler",
    familiar_similarity=0.5,
)


def write_sample_sheet(
    transformer: DiT, autoencoder: Autoencoder, path: Path, device: torch.device | str
) -> None:
    """Draw every prompt's orbit at eight azimuths, two prompts a row, into a PNG file."""
    training = transformer.training
    model = EmbeddedModel(
        transformer, autoencoder, TextEncoder(), SHEET_SETTINGS, [], torch.zeros(0, 384), device
    )
    rows = []
    for prompt in PROMPTS:
        request = GenerationRequest(prompt=prompt, num_frames=8)
        generator = torch.Generator().manual_seed(0)
        steps = model.sample(request, generator)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                rows.append(display_frames(stop.value))
                break
    transformer.train(training)
    images = rearrange(torch.stack(rows), "(r two) f h w c -> r (two f) h w c", two=2)
    write_png(contact_sheet(images), path)
