"""Training of the autoencoder: principal components in one pass, then the decoder's residual."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.clips import generator_on
from pipelines.training.optimiser import Optimiser, trapezoid
from pipelines.training.orbits import Orbits, network_frames
from pipelines.training.samples import write_reconstructions
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig, fit_linear
from pipelines.video.checkpoint import load_autoencoder, save_model
from pipelines.video.precision import mixed_precision

NUM_PATCHES = 200_000
"""Patches that the linear part is fitted to."""
# Steps after which the host waits for a GPU, lest the clock run ahead of the work.
SYNC_STEPS = 10
# How much a turned normal counts beside its three numbers, and the length below which it counts
# less: the direction of almost nothing means almost nothing.
ANGLE_WEIGHT, LEAST_NORMAL = 2.5, 0.05


@dataclass(frozen=True, kw_only=True)
class AutoencoderTraining:
    """How the decoder learns.

    Raises:
        ValueError: A field is out of range.
    """

    num_steps: int
    """Steps in all, resumed ones counted."""
    num_minutes: float | None = None
    """Ends by the clock instead, earlier runs counted: for machines of unknown speed."""
    batch_clips: int = 8
    """Clips a step."""
    clip_frames: int = 4
    """Neighbouring frames a clip."""
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    """Steps over which the learning rate rises, a tenth of all at most."""
    decay_share: float = 0.7
    """Share of the steps at the end over which the learning rate falls to zero."""
    latent_noise: float = 0.05
    """Median of the noise added to a clip's latents, so that the decoder forgives what the
    transformer gets wrong; from none to four times as much, that it may tell which it has."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_clips", "clip_frames", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.num_minutes is not None and self.num_minutes <= 0:
            raise ValueError(f"num_minutes is {self.num_minutes}; it must be above 0")
        if not 0 <= self.decay_share <= 1:
            raise ValueError(f"decay_share is {self.decay_share}; it must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """One optimiser step."""

    step: int
    last: bool
    loss: Float[Tensor, ""]
    """On the training's device: who reads it waits for the step to end there."""


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


def begin_with(earlier: Autoencoder, config: AutoencoderConfig) -> Autoencoder:
    """Return an autoencoder with an earlier one's encoder, and of its decoder what fits.

    Raises:
        ValueError: The latents would be of another shape.
    """
    before = earlier.config
    if (before.latent_channels, before.stride) != (config.latent_channels, config.stride):
        raise ValueError(
            f"the earlier latents have {before.latent_channels} channels and stride "
            f"{before.stride}; wanted are {config.latent_channels} and {config.stride}"
        )
    autoencoder = Autoencoder(config)
    weights = autoencoder.state_dict()
    # The last convolutions read what stands before them: they fit together or not at all.
    late = () if before.levels == config.levels else ("levels.", "to_pixels.", "pixel_", "doubt.")
    for name, value in earlier.state_dict().items():
        if name in weights and weights[name].shape == value.shape and not name.startswith(late):
            weights[name] = value
    autoencoder.load_state_dict(weights)
    return autoencoder


def begin_decoder(
    out: Path, encoder_of: Path | None, orbits: Orbits, config: AutoencoderConfig, seed: int
) -> Autoencoder:
    """Return what `out` holds, else a new autoencoder, with an earlier encoder if one is named."""
    if out.exists():
        return load_autoencoder(out)
    torch.manual_seed(seed)
    if encoder_of is not None:
        begun = begin_with(load_autoencoder(encoder_of), config)
    else:
        begun = new_autoencoder(orbits, config, torch.Generator().manual_seed(seed))
    save_model(begun, out, torch.float32)
    return begun


def follow_decoder(
    autoencoder: Autoencoder,
    orbits: Orbits,
    config: AutoencoderTraining,
    out: Path,
    *,
    seed: int,
    device: str,
) -> None:
    """Train to the end, going on from the state beside `out`; print the loss, draw a sheet."""
    # The shapes of all steps are the same, so that trying out how to convolve them pays.
    torch.backends.cudnn.benchmark = True
    state = out.with_suffix(".state.safetensors")
    for record in train_decoder(autoencoder, orbits, config, state, seed=seed, device=device):
        if record.step % 50 == 0 or record.last:
            print(f"step {record.step} loss {record.loss.item():.4f}", flush=True)
        if record.step % 500 == 0 or record.last:
            save_model(autoencoder, out, torch.float32)
        if record.last:
            write_reconstructions(autoencoder, orbits, out.with_suffix(".png"))


def reconstruction_loss(
    decoded: Float[Tensor, "batch frame 7 height width"],
    frames: Float[Tensor, "batch frame 7 height width"],
) -> Float[Tensor, ""]:
    """Return mean absolute plus squared error, edges twice, and how far normals are turned.

    Of a normal its direction is used, so that its numbers count less than colour and coverage. A
    chord and not its square: where a crease's place is unsure a square asks for what lies between
    both sides, a chord for either.
    """
    weight = frames.new_tensor([1.0, 1.0, 1.0, 1.5, 0.25, 0.25, 0.25])[:, None, None]
    error = (decoded - frames) * weight
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    numbers = error.abs().mean() + 2 * error.square().mean() + 0.5 * (down + across)
    solid = frames[:, :, 3] > 0.98
    found = F.normalize(decoded[:, :, 4:], dim=2, eps=LEAST_NORMAL)
    wanted = F.normalize(frames[:, :, 4:], dim=2, eps=LEAST_NORMAL)
    chord = ((found - wanted).square().sum(dim=2) + 1e-6).sqrt()
    return numbers + ANGLE_WEIGHT * (chord * solid).mean()


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
    stored = _all_frames(orbits)
    autoencoder.to(device).train()
    if stored.is_cuda:
        # The order of channels in which its tensor cores convolve.
        for parameter in autoencoder.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimiser = Optimiser(autoencoder, learning_rate=config.learning_rate, ema_decay=0.0)
    if state.exists():
        optimiser.load(state)
    warmup = min(config.warmup_steps, config.num_steps // 10)
    saved = time.monotonic()

    def progress() -> float:
        return optimiser.progress(config.num_steps, config.num_minutes)

    while progress() < 1:
        begin = time.monotonic()
        step = optimiser.step_count + 1
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        loss = _decoder_loss(autoencoder, stored, config, generator, device)
        loss.backward()
        optimiser.step(trapezoid(step, progress(), warmup, config.decay_share))
        if step % SYNC_STEPS == 0:
            loss.item()
        optimiser.seconds += time.monotonic() - begin
        last = progress() >= 1
        if time.monotonic() - saved > save_seconds or last:
            optimiser.save(state)
            saved = time.monotonic()
        yield TrainStep(step=step, last=last, loss=loss.detach())
    autoencoder.eval()


def _decoder_loss(
    autoencoder: Autoencoder,
    stored: Tensor,
    config: AutoencoderTraining,
    generator: torch.Generator,
    device: torch.device | str,
) -> Float[Tensor, ""]:
    """Return the loss of one random batch."""
    generator = generator_on(stored.device, generator)
    target = _draw_frames(stored, config, generator).to(device)
    with torch.no_grad():
        latents = autoencoder.encode(target)
        noise = torch.randn(latents.shape, generator=generator, device=stored.device)
        share = torch.rand(len(latents), 1, 1, 1, 1, generator=generator, device=stored.device)
        sigma = config.latent_noise * (2 * share).square()
        latents = latents + (sigma * noise).to(device)
    with mixed_precision(device):
        decoded = autoencoder.decode(latents)
    return reconstruction_loss(decoded.float(), target)


def _all_frames(orbits: Orbits) -> UInt8[Tensor, "orbit frame height width 7"]:
    """Return all orbits as one tensor, where they were drawn: batches are then one indexing."""
    parts = [shard.frames for shard in orbits.shards()]
    stored = parts[0].new_empty((sum(len(part) for part in parts), *parts[0].shape[1:]))
    begin = 0
    # Each part is let go as it is copied, so that memory holds the dataset once.
    while parts:
        part = parts.pop(0)
        stored[begin : begin + len(part)] = part
        begin += len(part)
    return stored


def _draw_frames(
    stored: Tensor, config: AutoencoderTraining, generator: torch.Generator
) -> Float[Tensor, "clip frame 7 height width"]:
    """Return runs of neighbouring frames from random orbits."""
    there = {"generator": generator, "device": stored.device}
    orbit = torch.randint(len(stored), (config.batch_clips, 1), **there)
    start = torch.randint(stored.shape[1], (config.batch_clips, 1), **there)
    after = torch.arange(config.clip_frames, device=stored.device)
    return network_frames(stored[orbit, (start + after) % stored.shape[1]])


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
    a = F.normalize(rearrange(decoded[:, 4:], "f c h w -> f h w c")[solid], dim=-1)
    b = F.normalize(rearrange(frames[:, 4:], "f c h w -> f h w c")[solid], dim=-1)
    return float(torch.rad2deg((a * b).sum(dim=-1).clamp(-1, 1).acos()).mean())
