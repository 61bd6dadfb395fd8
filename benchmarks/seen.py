"""Measures how much of a solid the orbit's views show at all, whoever reconstructs it.

    python -m benchmarks.seen FOLDER [--concave] [--everyday] [--names ...]

For each closed mesh the volume is counted that no camera of the test orbit (see
`benchmarks.reconstruction`) sees to be empty, its own surface hiding what lies behind. Its IoU with
the solid is that of one who carves away all that is seen to be empty, exactly, and guesses nothing;
only knowledge of what such things look like leads beyond.
"""

import argparse
from pathlib import Path

import numpy as np
import open3d
from jaxtyping import Bool, Float

from benchmarks.reconstruction import CONCAVE, EVERYDAY, Subject, subject_of, wavy_orbit

RESOLUTION = 128
# A point on the very surface is neither before nor behind it.
AT_SURFACE = 1e-4
SIZE = 32
"""Of the frames, which are not looked at: only their cameras' places count."""


def seen_iou(subject: Subject) -> float:
    """Return the IoU of the solid with what no camera sees to be empty."""
    vertices, faces = subject.mesh.vertices.numpy(), subject.mesh.faces.numpy()
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(_tensor(vertices), open3d.core.Tensor(faces.astype(np.uint32)))
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    axes = [np.linspace(lo, hi, RESOLUTION) for lo, hi in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    solid = scene.compute_occupancy(_tensor(points), nsamples=3).numpy() > 0.5
    hidden = np.ones(len(points), dtype=bool)
    for place in wavy_orbit(SIZE).c2w[:, :3, 3].numpy():
        hidden &= ~_visible(scene, place, points)
    return float((solid & hidden).sum() / (solid | hidden).sum())


def _visible(
    scene: open3d.t.geometry.RaycastingScene,
    place: Float[np.ndarray, " 3"],
    points: Float[np.ndarray, "point 3"],
) -> Bool[np.ndarray, " point"]:
    way = points - place
    length = np.linalg.norm(way, axis=1, keepdims=True)
    rays = np.concatenate([np.broadcast_to(place, points.shape), way / length], axis=1)
    return scene.cast_rays(_tensor(rays))["t_hit"].numpy() > length[:, 0] + AT_SURFACE


def _tensor(values: np.ndarray) -> open3d.core.Tensor:
    return open3d.core.Tensor(values.astype(np.float32))


def main() -> None:
    """Print a line a mesh, then the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of GLB files")
    parser.add_argument("--names", nargs="*", help="only these files, without .glb")
    parser.add_argument("--concave", action="store_true", help=f"only {', '.join(CONCAVE)}")
    parser.add_argument("--everyday", action="store_true", help=f"only {', '.join(EVERYDAY)}")
    arguments = parser.parse_args()
    names = set(arguments.names or ())
    names |= set(CONCAVE if arguments.concave else ()) | set(EVERYDAY if arguments.everyday else ())
    found: list[float] = []
    for folder in arguments.folders:
        for path in sorted(folder.glob("*.glb")):
            if names and path.stem not in names:
                continue
            subject = subject_of(path, "unlit", SIZE)
            if not subject.watertight:
                print(f"{path.stem:24s} is not closed")
                continue
            found.append(seen_iou(subject))
            print(f"{path.stem:24s} {found[-1]:.3f}", flush=True)
    print(f"{f'mean of {len(found)}':24s} {np.mean(found):.3f}")


if __name__ == "__main__":
    main()
