"""python benchmarks/picture_share.py DATASET: how large objects stand in the default orbit.

`OUTLINE_SHARE` in `pipelines/video/framing.py` is the median: so a visitor's picture is framed.
DATASET is what `python -m pipelines.training render` wrote.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def shares(dataset: Path) -> torch.Tensor:
    """Return the longer side of each object's outline in its first frame, of the frame's side."""
    sys.path.insert(0, str(ROOT))
    from pipelines.training.orbits import RenderedFolder

    found: dict[int, float] = {}
    for shard in RenderedFolder(folder=dataset).shards():
        for orbit, index in enumerate(shard.object.tolist()):
            # The first orbit of every object is the default one.
            solid = shard.frames[orbit, 0, :, :, 3] > 127
            if index not in found and bool(solid.any()):
                spans = [solid.any(dim=dim).nonzero()[[0, -1], 0] for dim in (0, 1)]
                longest = max(int(last - first) + 1 for first, last in spans)
                found[index] = longest / len(solid)
    return torch.tensor(list(found.values()))


def main() -> None:
    """Print the quantiles; `--json` also writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = shares(args.dataset)
    quantiles = {str(q): round(float(found.quantile(q)), 3) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    print(f"{len(found)} objects; quantiles of the share: {quantiles}")
    if args.json:
        args.json.write_text(json.dumps({"objects": len(found), "quantiles": quantiles}) + "\n")


if __name__ == "__main__":
    main()
