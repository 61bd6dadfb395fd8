"""Which meshes' renders flicker? Two faces in one place must not take turns in being drawn.

    python -m benchmarks.flicker FOLDER [--least 0.02]

FOLDER holds GLB files. Each is drawn from four sides, and again from cameras that stand 0.0002 rad
further on: a pixel well inside that changes by more than 24 of 255 flickers. Prints the meshes of
which a larger share of such pixels than `--least` does, the worst first.
"""

import argparse
from pathlib import Path

from pipelines.training.meshes import PackedMesh, read_glb
from pipelines.training.renders import render_mesh
from threed.cameras import orbit_cameras

SIZE, SAMPLES, NUM_VIEWS = 64, 2, 4
ELEVATION, AZIMUTH, STEP = 0.3, 0.5, 2e-4
SOLID, CHANGED = 200, 24


def flicker(mesh: PackedMesh) -> float:
    """Return the share of a mesh's solid pixels that change with a step too small to be seen."""
    first, second = (
        render_mesh(
            mesh,
            orbit_cameras(NUM_VIEWS, size=SIZE, elevation=ELEVATION, start_azimuth=azimuth),
            SAMPLES,
        ).float()
        for azimuth in (AZIMUTH, AZIMUTH + STEP)
    )
    change = (first - second)[..., :3].abs().amax(dim=-1)
    solid = first[..., 3] > SOLID
    return float((change[solid] > CHANGED).float().mean()) if bool(solid.any()) else 0.0


def main() -> None:
    """Print a line a mesh that flickers, then how many do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of GLB files")
    parser.add_argument("--least", type=float, default=0.02, help="share from which to name one")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.glb"))
    shares = {path.stem: flicker(read_glb(path)) for path in paths}
    worst = sorted(shares, key=lambda name: -shares[name])
    for name in worst:
        if shares[name] > arguments.least:
            print(f"{name:40s} {shares[name]:.3f}")
    many = sum(share > arguments.least for share in shares.values())
    most = max(shares.values(), default=0.0)
    print(f"{many} of {len(paths)} flicker; the most is {most:.3f}")


if __name__ == "__main__":
    main()
