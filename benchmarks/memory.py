"""python benchmarks/memory.py: how much memory the texture takes, by its size.

`threed/memory.py` believes these numbers. Each size runs in a process of its own, whose
peak before the bake is taken off; one more number is the peak itself.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = (512, 1024, 2048, 4096)


def peak_mib() -> float:
    """Return the most memory that this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bake_once(size: int) -> dict[str, float]:
    """Bake a ball's texture in this process and return its memory before and at most, MiB."""
    sys.path.insert(0, str(ROOT))
    from tests.threed.solids import Solid, ball, by_side, photograph
    from threed.mesh import MeshConfig, extract_mesh
    from threed.texture import bake, unwrap

    solid = Solid(distance=ball(0.6), colour=by_side)
    views = photograph(solid, num_frames=24)
    mesh = unwrap(extract_mesh(solid, MeshConfig(resolution=64, max_faces=3000)))
    before = peak_mib()
    bake(mesh, solid, views, size)
    return {"size": size, "before_mib": before, "peak_mib": peak_mib()}


def main() -> None:
    """Print a line a size; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="in this process, that size alone, as JSON")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.size:
        print(json.dumps(bake_once(args.size)))
        return
    rows = []
    for size in SIZES:
        command = [sys.executable, __file__, "--size", str(size)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
        row = rows[-1]
        grown = row["peak_mib"] - row["before_mib"]
        print(
            f"texture {size:5}: {row['peak_mib']:6.0f} MiB at most, {grown:6.0f} more than before, "
            f"{grown * 2**20 / size**2:5.0f} bytes a texel",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
