"""python -m benchmarks.matting: what cutting an object out by the segmentation model costs.

The network has the real one's size and shapes (SAM 2.1 Hiera Tiny) and random weights, so the
numbers say what it costs and nothing of how well it finds objects. Processor seconds of one core.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from threed.mask_edge import cut_along
from threed.segmenter import Segmenter

WIDTH, HEIGHT = 1024, 768
FRAMES = 10
"""Enough that the network's memory of frames is full, and that of objects nearly."""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work returns and how many seconds of the processor it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def main() -> None:
    """Print a line a part; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    place = np.arange(256) - 127.5
    disc = (60 - np.hypot(place[:, None], place[None])).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        network = Sam2VideoModel(Sam2VideoConfig())
        parameters = sum(value.numel() for value in network.parameters())
        network.save_pretrained(folder)
        del network
        segmenter, loading = timed(lambda: Segmenter.load(Path(folder), "cpu"))
    _, finding = timed(lambda: segmenter.find(clip[0]))
    steps = segmenter.follow(clip, disc)
    following = [timed(lambda: next(steps))[1] for _ in clip]
    _, cutting = timed(lambda: cut_along(clip[0], disc))
    rows = {
        "parameters, millions": parameters / 1e6,
        "loading, s": loading,
        "finding the object in a frame, s": finding,
        "following it to the second frame, s": following[1],
        "following it to a later frame, s": following[-1],
        "the edge and its colours, s": cutting,
        "most memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    for name, value in rows.items():
        print(f"{name:38} {value:8.2f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
