"""How well does the autoencoder give back what it never saw?

    python -m benchmarks.autoencoder HELD_OUT [--count 40] [--json out.json]

HELD_OUT is a file of packed meshes (`python -m pipelines.training pack --only KIT ...`). Two orbits
of each are drawn, encoded and decoded: PSNR of colour and coverage in the alpha's box widened by 4
pixels, the angle between normals, and the decoder's seconds a frame; beside it the linear part
alone, which is what live previews show.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean, median

import torch

from pipelines.models.catalogue import WEIGHTS_FOLDER
from pipelines.training.autoencoder import box_psnr, normal_error_deg
from pipelines.training.orbits import network_frames, open_orbits
from pipelines.training.renders import RenderConfig
from pipelines.video.checkpoint import load_autoencoder


def main() -> None:
    """Print the medians; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--count", type=int, default=40, help="about how many objects")
    parser.add_argument("--model", type=Path, default=WEIGHTS_FOLDER / "embedded")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    size = json.loads((args.model / "settings.json").read_text())["size"]
    autoencoder = load_autoencoder(args.model / "autoencoder.safetensors").eval()
    orbits = open_orbits(args.held_out, RenderConfig(size=size, num_orbits=2), limit=args.count)
    psnr, linear, angles, seconds = [], [], [], []
    for shard in orbits.shards():
        frames = network_frames(shard.frames)
        with torch.no_grad():
            latents = autoencoder.encode(frames)
            begin = time.perf_counter()
            decoded = autoencoder.decode(latents).flatten(0, 1)
            seconds.append((time.perf_counter() - begin) / len(decoded))
            plain = autoencoder.decode_linear(latents).flatten(0, 1)
        frames = frames.flatten(0, 1)
        psnr += box_psnr(decoded, frames).tolist()
        linear += box_psnr(plain, frames).tolist()
        angles.append(normal_error_deg(decoded, frames))
    report = {
        "num_frames": len(psnr),
        "median_psnr": median(psnr),
        "median_psnr_linear": median(linear),
        "mean_normal_error_deg": mean(angles),
        "median_seconds_a_frame": median(seconds),
    }
    print(json.dumps(report, indent=1))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
