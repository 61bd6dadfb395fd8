"""What does each kind of clip cost a transformer? Weights side by side.

    python -m benchmarks.losses WEIGHTS ... --known FILE --held-out FILE [--json out.json]

The flow's loss (`pipelines/training/transformer.py`) on the same clips under the same noise: known
things asked for in words, moving ones, known things and things from kits that no training saw
beside one picture of them, and the latter with some frames given. Weights that have learnt guidance
are asked for none. A FILE is what `python -m pipelines.training pack` wrote.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.training.bank import LatentBank, build_bank
from pipelines.training.clips import ClipConfig
from pipelines.training.orbits import open_orbits
from pipelines.training.renders import RenderConfig
from pipelines.training.transformer import flow_loss
from pipelines.video.checkpoint import load_autoencoder, load_transformer
from pipelines.video.dit import DiT
from pipelines.video.presets import PRESETS
from pipelines.video.text import TextEncoder

WHOLE = ClipConfig(lengths=(24,), shares=(1.0,), give_frames=0.0, give_picture=0.0)
PICTURED = replace(WHOLE, give_picture=1.0, vary_pictured=0.0, drop_pictured_text=1.0)
# What is drawn of which bank.
KINDS = {
    "in words": ("known", replace(WHOLE, move_share=0.0, drop_text=0.0)),
    "moving": ("known", replace(WHOLE, move_share=1.0, drop_text=0.0)),
    "picture, known": ("known", PICTURED),
    "picture, unseen": ("unseen", PICTURED),
    "frames, unseen": ("unseen", replace(WHOLE, give_frames=1.0, drop_text=1.0)),
}
FRAMES = 192


def build_banks(
    known: Path, unseen: Path, autoencoder: Path, size: int, objects: int, device: str
) -> dict[str, LatentBank]:
    """Return the clips that are drawn from: some known named things, some that no training saw."""
    networks = load_autoencoder(autoencoder), TextEncoder(device=device)
    render = RenderConfig(size=size, num_orbits=2, num_moving=3)
    still = replace(render, num_moving=0)
    sources = {
        "known": open_orbits(known, render, device, limit=objects, named=True),
        "unseen": open_orbits(unseen, still, device, limit=objects),
    }
    drawn = {"captions_per_object": 4, "recoloured": 1, "seed": 5, "device": device}
    return {name: build_bank(orbits, *networks, **drawn) for name, orbits in sources.items()}


def losses(
    network: DiT, banks: dict[str, LatentBank], batches: int, device: str
) -> dict[str, float]:
    """Return the mean loss of every kind; the same clips and noise whatever the network."""
    network.to(device).eval()
    found = {}
    for kind, (which, clips) in KINDS.items():
        total = 0.0
        for number in range(batches):
            generator = torch.Generator().manual_seed(number)
            with torch.no_grad():
                loss, _ = flow_loss(network, banks[which], clips, FRAMES, generator, device)
            total += float(loss)
        found[kind] = total / batches
    return found


def print_row(name: str, row: dict[str, float]) -> None:
    """Print one network's losses."""
    print(f"{name:40s}" + "".join(f"{value:17.4f}" for value in row.values()), flush=True)


def print_head() -> None:
    """Print the kinds."""
    print(" " * 40 + "".join(f"{kind:>17s}" for kind in KINDS), flush=True)


def main() -> None:
    """Print a row a file; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="+", help="transformer.safetensors")
    parser.add_argument("--known", type=Path, required=True, help="packed meshes, trained on")
    parser.add_argument("--held-out", type=Path, required=True, help="packed meshes, never seen")
    parser.add_argument(
        "--autoencoder", type=Path, default=Path("assets/models/embedded/autoencoder.safetensors")
    )
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--objects", type=int, default=80, help="about how many of either")
    parser.add_argument("--batches", type=int, default=12, help=f"of {FRAMES} frames, a kind")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    networks = {str(path): load_transformer(path) for path in args.weights}
    size = PRESETS[args.preset].size
    banks = build_banks(
        args.known, args.held_out, args.autoencoder, size, args.objects, args.device
    )
    print_head()
    rows = {}
    for name, network in networks.items():
        rows[name] = losses(network, banks, args.batches, args.device)
        print_row(name[-40:], rows[name])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
