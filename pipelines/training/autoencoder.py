"""Training of the autoencoder: principal components in one pass, then the decoder's residual."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from pipelines.training.optimiser import Optimiser, trapezoid
from pipelines.training.orbits import Orbits, network_frames
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig, fit_linear
from pipelines.video.precision import mixed_precision

NUM_PATCHES = 200_000
"""Patches that the linear part is fitted to."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderTraining:
    """How the decoder learns.

    Raises:
        ValueError: A count is below one.
    """

    num_steps: int
    batch_clips: int = 8
    """Clips a step."""
    clip_frames: int = 4
    """Neighbouring frames a clip."""
    learning_rate: float = 2e-3
    latent_noise: float = 0.05
    """Noise added to the latents, so that the decoder forgives what the transformer gets wrong."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_clips", "clip_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """One optimiser step."""

    step: int
    num_steps: int
    loss: float


def sample_patches(
    orbits: Orbits, stride: int, count: int, generator: torch.Generator
) -> Float[Tensor, "sample volume"]:
    """Return random patches that hold something, channel-major, for the linear fit."""
    parts = []
    each = -(-count // len(orbits.listing()))
    for shard in orbits.shards():
        flat = rearrange(shard.frames, "o f h w c -> (o f) h w c")
        wanted = each * len(shard.object.unique())
        # A frame has some dozens of patches that hold something.
        pick = torch.randperm(len(flat), generator=generator)[: 1 + wanted // 8]
        patches = rearrange(
            network_frames(flat[pick]),
            "n c (h ph) (w pw) -> (n h w) (c ph pw)",
            ph=stride,
            pw=stride,
        )
        spread = patches.amax(dim=1) - patches.amin(dim=1)
        occupied = patches[spread > 0.05]
        chosen = torch.randperm(len(occupied), generator=generator)[:wanted]
        parts.append(occupied[chosen].cpu())
    return torch.cat(parts)


def new_autoencoder(
    orbits: Orbits, config: AutoencoderConfig, generator: torch.Generator
) -> Autoencoder:
    """Return an autoencoder that is the best linear one for the dataset."""
    autoencoder = Autoencoder(config)
    fit_linear(autoencoder, sample_patches(orbits, config.stride, NUM_PATCHES, generator))
    return autoencoder


def reconstruction_loss(
    decoded: Float[Tensor, "batch frame 7 height width"],
    frames: Float[Tensor, "batch frame 7 height width"],
) -> Float[Tensor, ""]:
    """Return mean absolute plus squared error, colour and coverage above normals, edges twice."""
    weight = frames.new_tensor([1.0, 1.0, 1.0, 1.5, 0.5, 0.5, 0.5])[:, None, None]
    error = (decoded - frames) * weight
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * (down + across)


def train_decoder(
    autoencoder: Autoencoder,
    orbits: Orbits,
    config: AutoencoderTraining,
    state: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    save_seconds: float = 60.0,
) -> Iterator[TrainStep]:
    """Train the decoder's residual in place, yielding each step; the linear parts stay.

    Goes on from `state` where that file exists: every step draws from a generator of its own.
    """
    shards = [shard.frames for shard in orbits.shards()]
    autoencoder.to(device).train()
    optimiser = Optimiser(autoencoder, learning_rate=config.learning_rate, ema_decay=0.0)
    if state.exists():
        optimiser.load(state)
    saved = time.monotonic()
    while optimiser.step_count < config.num_steps:
        step = optimiser.step_count + 1
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        target = _draw_frames(shards, config, generator).to(device)
        with torch.no_grad():
            latents = autoencoder.encode(target)
            noise = torch.randn(latents.shape, generator=generator).to(device)
            latents = latents + config.latent_noise * noise
        with mixed_precision(device):
            decoded = autoencoder.decode(latents)
        loss = reconstruction_loss(decoded.float(), target)
        loss.backward()
        progress = (step - 1) / config.num_steps
        optimiser.step(trapezoid(step, progress, config.num_steps // 10, 0.7))
        if time.monotonic() - saved > save_seconds or step == config.num_steps:
            optimiser.save(state)
            saved = time.monotonic()
        yield TrainStep(step=step, num_steps=config.num_steps, loss=loss.item())
    autoencoder.eval()


def _draw_frames(
    shards: list[Tensor], config: AutoencoderTraining, generator: torch.Generator
) -> Float[Tensor, "clip frame 7 height width"]:
    """Return runs of neighbouring frames from random orbits."""
    sizes = torch.tensor([float(len(frames)) for frames in shards])
    clips = []
    for shard in torch.multinomial(sizes, config.batch_clips, True, generator=generator):
        frames = shards[int(shard)]
        orbit = int(torch.randint(len(frames), (), generator=generator))
        start = int(torch.randint(frames.shape[1], (), generator=generator))
        index = (start + torch.arange(config.clip_frames)) % frames.shape[1]
        clips.append(frames[orbit, index])
    return network_frames(torch.stack(clips))


def box_psnr(
    decoded: Float[Tensor, "frame 7 height width"], frames: Float[Tensor, "frame 7 height width"]
) -> Float[Tensor, " frame"]:
    """Return each frame's PSNR (dB) of colour and coverage, in alpha's box widened by 4 pixels."""
    alpha = frames[:, 3] > -0.9
    rows, columns = alpha.any(dim=2), alpha.any(dim=1)
    box = _widened(rows)[:, :, None] & _widened(columns)[:, None, :]
    error = reduce(
        ((decoded.clamp(-1, 1) - frames)[:, :4] / 2).square(), "f c h w -> f h w", "mean"
    )
    mean = (error * box).sum(dim=(1, 2)) / box.sum(dim=(1, 2)).clamp(min=1)
    return -10 * mean.clamp(min=1e-10).log10()


def _widened(line: Tensor, margin: int = 4) -> Tensor:
    index = torch.arange(line.shape[1])
    first = torch.where(line, index, line.shape[1]).amin(dim=1, keepdim=True) - margin
    last = torch.where(line, index, -1).amax(dim=1, keepdim=True) + margin
    return (index >= first) & (index <= last)


def normal_error_deg(
    decoded: Float[Tensor, "frame 7 height width"], frames: Float[Tensor, "frame 7 height width"]
) -> float:
    """Return the mean angle (degrees) between normals where the object covers the pixel."""
    solid = frames[:, 3] > 0.98
    a = torch.nn.functional.normalize(
        rearrange(decoded[:, 4:], "f c h w -> f h w c")[solid], dim=-1
    )
    b = torch.nn.functional.normalize(rearrange(frames[:, 4:], "f c h w -> f h w c")[solid], dim=-1)
    return float(torch.rad2deg((a * b).sum(dim=-1).clamp(-1, 1).acos()).mean())
