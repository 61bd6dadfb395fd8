"""How fast does the transformer train, and how much of the machine does it use?

    python -m benchmarks.training_speed [--preset small] [--device cuda] [--compile]

Times whole optimiser steps on random latents, a clip length at a time, and beside them a large
matrix product in the same number format: model FLOP utilisation is the share of that product's
speed which the network's own products reach, forwards and back (counted by torch's FLOP counter).
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.training.bank import LatentBank
from pipelines.training.clips import ClipConfig
from pipelines.training.transformer import (
    FlowTrainStep,
    TransformerTraining,
    flow_loss,
    train_transformer,
)
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import RAY_CHANNELS
from pipelines.video.dit import DiT
from pipelines.video.precision import fast_dtype
from pipelines.video.presets import PRESETS, Preset
from pipelines.video.text import NUM_TOKENS, TEXT_WIDTH

ORBITS = 64
WARM_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Row:
    """Speed at one length of clips."""

    frames: int
    clips_per_step: int
    seconds_per_step: float
    clips_per_hour: float
    teraflops: float
    """Of the network's products a second."""
    utilisation: float
    """Of the large product's speed."""


def random_bank(preset: Preset, device: torch.device) -> LatentBank:
    """Return a bank of the preset's shapes whose contents mean nothing."""
    config = preset.autoencoder
    side = preset.size // config.stride
    index = torch.arange(ORBITS, device=device)
    half = {"dtype": torch.float16, "device": device}
    return LatentBank(
        latents=torch.randn(ORBITS, 24, config.latent_channels, side, side, **half),
        rays=torch.randn(ORBITS, 24, RAY_CHANNELS, side, side, **half),
        azimuth=torch.zeros(ORBITS, 24, device=device),
        captions=index[:, None],
        named=index,
        turning=index,
        moving=index[:0],
        level=index,
        default=index,
        painted=index,
        tokens=torch.randn(ORBITS, NUM_TOKENS, TEXT_WIDTH, **half),
        pooled=torch.randn(ORBITS, TEXT_WIDTH, **half),
        texts=[""] * ORBITS,
        channel_weight=torch.ones(config.latent_channels, device=device),
        autoencoder=Autoencoder(config).to(device),
    )


def product_teraflops(device: torch.device, size: int, repeats: int) -> float:
    """Return the speed of a square matrix product in the format that training multiplies in."""
    a, b = (torch.randn(size, size, device=device, dtype=fast_dtype(device)) for _ in range(2))
    for _ in range(3):
        a @ b
    wait(device)
    begin = time.perf_counter()
    for _ in range(repeats):
        a @ b
    wait(device)
    return 2 * size**3 * repeats / (time.perf_counter() - begin) / 1e12


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def flops_per_clip(preset: Preset, clips: ClipConfig, frames: int) -> float:
    """Return the floating-point operations of one clip's products, forwards and back."""
    bank = random_bank(preset, torch.device("cpu"))
    model, generator = DiT(preset.transformer), torch.Generator().manual_seed(0)
    with FlopCounterMode(display=False) as counter:
        loss, count = flow_loss(model, bank, clips, 2 * frames, generator, "cpu")
        loss.backward()
    return counter.get_total_flops() / count


def timed(steps: Iterator[FlowTrainStep], count: int, device: torch.device) -> tuple[float, int]:
    """Return the seconds that the next steps take each, and the clips of a step."""
    clips = [next(steps).clips for _ in range(WARM_STEPS)][-1]
    wait(device)
    begin = time.perf_counter()
    for _ in range(count):
        next(steps)
    wait(device)
    return (time.perf_counter() - begin) / count, clips


def main() -> None:
    """Print the table; `--json` also writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-frames", type=int, default=384)
    parser.add_argument("--lengths", type=int, nargs="+", default=[8, 24])
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    preset, device = PRESETS[args.preset], torch.device(args.device)
    on_gpu = device.type == "cuda"
    limit = product_teraflops(device, 8192 if on_gpu else 4096, 20 if on_gpu else 2)
    print(f"matrix product: {limit:.2f} TFLOP/s in {fast_dtype(device)}")
    bank, rows = random_bank(preset, device), []
    for frames in args.lengths:
        clips = replace(ClipConfig(), lengths=(frames,), shares=(1.0,))
        config = TransformerTraining(num_steps=10**6, batch_frames=args.batch_frames)
        with TemporaryDirectory() as folder:
            steps = train_transformer(
                DiT(preset.transformer),
                bank,
                config,
                clips,
                Path(folder) / "state.safetensors",
                compile_model=args.compile,
                seed=0,
                device=device,
                save_seconds=1e9,
            )
            seconds, count = timed(steps, args.steps, device)
        speed = flops_per_clip(preset, clips, frames) * count / seconds / 1e12
        row = Row(
            frames=frames,
            clips_per_step=count,
            seconds_per_step=seconds,
            clips_per_hour=3600 * count / seconds,
            teraflops=speed,
            utilisation=speed / limit,
        )
        rows.append(row)
        print(
            f"{frames:3d} frames: {count} clips in {seconds:.3f} s, "
            f"{row.clips_per_hour:,.0f} clips/h, {speed:.2f} TFLOP/s, "
            f"{100 * row.utilisation:.0f} % of the product",
            flush=True,
        )
    if args.json:
        report = {"product_teraflops": limit, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
