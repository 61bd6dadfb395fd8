"""How does quality grow with size and training? Networks of several sizes, all begun anew.

    python -m benchmarks.growth --known FILE --held-out FILE [--sizes 256x6 384x8 512x10]
        [--steps 300 1200] [--device cuda] [--json out.json]

A size is width x depth, in heads of 64; every size is trained once for each number of steps, on the
same clips, to the end of its schedule. The losses are those of `python -m benchmarks.losses`, of
the averaged weights; MB is what these take in half precision. FILEs are what `python -m
pipelines.training pack` wrote.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.losses import build_banks, losses, print_head, print_row
from pipelines.training.bank import LatentBank, build_bank
from pipelines.training.clips import ClipConfig
from pipelines.training.orbits import open_orbits
from pipelines.training.renders import RenderConfig
from pipelines.training.transformer import TransformerTraining, averaged_network, train_transformer
from pipelines.video.checkpoint import load_autoencoder
from pipelines.video.dit import DiT, DiTConfig
from pipelines.video.presets import PRESETS
from pipelines.video.text import TextEncoder

HEAD_WIDTH = 64
DECAY_SHARE = 0.4


def size_of(text: str) -> tuple[int, int]:
    """Return width and depth of a size as it is written.

    Raises:
        ValueError: It is none, or its heads are no whole number.
    """
    width, depth = (int(part) for part in text.split("x"))
    if width < 1 or depth < 1 or width % HEAD_WIDTH:
        raise ValueError(f"{text} is no size; width must be a multiple of {HEAD_WIDTH}")
    return width, depth


def train(
    config: DiTConfig, bank: LatentBank, steps: int, batch_frames: int, seed: int, device: str
) -> tuple[DiT, float]:
    """Return the averaged network after so many steps, and the seconds that these took."""
    torch.manual_seed(seed)
    training = TransformerTraining(
        num_steps=steps,
        batch_frames=batch_frames,
        warmup_steps=min(200, steps // 4 + 1),
        decay_share=DECAY_SHARE,
    )
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        begin = time.monotonic()
        for record in train_transformer(
            DiT(config),
            bank,
            training,
            ClipConfig(),
            state,
            compile_model=device != "cpu",
            seed=seed,
            device=device,
            save_seconds=float("inf"),
        ):
            if record.last:
                record.loss.item()
        return averaged_network(state, config), time.monotonic() - begin


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--known", type=Path, required=True, help="packed meshes, trained on")
    parser.add_argument("--held-out", type=Path, required=True, help="packed meshes, never seen")
    parser.add_argument(
        "--autoencoder", type=Path, default=Path("assets/models/embedded/autoencoder.safetensors")
    )
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--sizes", type=size_of, nargs="+", default=[(256, 6), (384, 8), (512, 10)])
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1200])
    parser.add_argument("--batch-frames", type=int, default=4096)
    parser.add_argument("--objects", type=int, help="how many meshes are learnt; all if not given")
    parser.add_argument("--orbits", type=int, default=3, help="orbits of each")
    parser.add_argument("--scored", type=int, default=80, help="about how many are scored")
    parser.add_argument("--batches", type=int, default=12, help="a kind of the scored clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    """Print a row for every size and number of steps; `--json` also writes them."""
    args = build_parser().parse_args()
    preset, device = PRESETS[args.preset], args.device
    render = RenderConfig(size=preset.size, num_orbits=args.orbits, num_moving=3, num_deformed=1)
    bank = build_bank(
        open_orbits(args.known, render, device, limit=args.objects),
        load_autoencoder(args.autoencoder),
        TextEncoder(device=device),
        captions_per_object=16,
        recoloured=2,
        seed=args.seed,
        device=device,
    )
    scored = build_banks(
        args.known, args.held_out, args.autoencoder, preset.size, args.scored, device
    )
    print_head()
    rows = []
    for width, depth in args.sizes:
        heads = width // HEAD_WIDTH
        config = replace(preset.transformer, width=width, depth=depth, num_heads=heads)
        for steps in args.steps:
            network, seconds = train(config, bank, steps, args.batch_frames, args.seed, device)
            found = losses(network, scored, args.batches, device)
            megabytes = 2e-6 * sum(weight.numel() for weight in network.parameters())
            name = f"{width}x{depth} {megabytes:.0f} MB {steps} steps {seconds:.0f} s"
            print_row(name, found)
            size = {"width": width, "depth": depth, "megabytes": megabytes}
            rows.append(size | {"steps": steps, "seconds": seconds, "losses": found})
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
