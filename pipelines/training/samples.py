"""Sheets of what the networks make while they train."""

from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange

from pipelines.models.embedded import EmbeddedModel, EmbeddedSettings
from pipelines.models.known_names import KnownNames
from pipelines.request import GenerationRequest
from pipelines.training.orbits import Orbits, network_frames
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.autoencoder import Autoencoder, orbit_from_frames
from pipelines.video.dit import DiT
from pipelines.video.text import TextEncoder
from threed.cameras import orbit_cameras
from threed.orbit import display_frames
from threed.progress import finish

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
    transformer: DiT, autoencoder: Autoencoder, size: int, path: Path, device: torch.device | str
) -> None:
    """Draw every prompt's orbit at eight azimuths, two prompts a row, into a PNG file."""
    training = transformer.training
    settings = replace(SHEET_SETTINGS, size=size)
    model = EmbeddedModel(
        transformer, autoencoder, TextEncoder(), settings, KnownNames.none(), device
    )
    rows = []
    for prompt in PROMPTS:
        request = GenerationRequest(prompt=prompt, num_frames=8)
        generator = torch.Generator().manual_seed(0)
        # Where the network was compiled for training it would be again for these few.
        with torch.compiler.set_stance("force_eager"):
            rows.append(display_frames(finish(model.sample(request, generator))))
    transformer.train(training)
    images = rearrange(torch.stack(rows), "(r two) f h w c -> r (two f) h w c", two=2)
    write_png(contact_sheet(images), path)


def write_reconstructions(autoencoder: Autoencoder, orbits: Orbits, path: Path) -> None:
    """Draw some frames of a dataset above what the autoencoder makes of them, into a PNG file."""
    shard = next(orbits.shards())
    index = torch.arange(8) * len(shard.frames) // 8
    frames = network_frames(shard.frames[index, :2]).cpu()
    device = next(autoencoder.parameters()).device
    with torch.no_grad():
        decoded = autoencoder.decode(autoencoder.encode(frames.to(device))).cpu()
    rows = []
    for clip in (frames, decoded):
        size = clip.shape[-1]
        cameras = orbit_cameras(len(clip), size=size)
        rows.append(display_frames(orbit_from_frames(clip[:, 0], cameras)))
    write_png(contact_sheet(torch.stack(rows)), path)
