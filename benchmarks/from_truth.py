"""Is a surface that the fit misses told by the pictures, or only not found? Begin at the truth.

    python -m benchmarks.from_truth FOLDER [--concave] [--everyday] [--names ...]

Fits the test orbit (see `benchmarks.reconstruction`; lit, 128 pixels) twice: as usual, and by the
same descent begun at the mesh's own signed distance, on the fine voxels. Where the second stays
near the truth and its pictures are the better ones, what the first lacks is in the pictures, and
its descent has not gone there; where its pictures are no better, nobody could tell from them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open3d
import torch

from benchmarks.reconstruction import (
    CONCAVE,
    EVERYDAY,
    Subject,
    subject_of,
    surface_scores,
)
from threed.field import Field
from threed.fit import FitConfig, descend, fit
from threed.hull import close_border, hull_field
from threed.mesh import MeshConfig, extract_mesh
from threed.metrics import psnr_in_box
from threed.progress import finish
from threed.render import render_views
from threed.targets import cull, ray_targets

SIZE = 128
ROW = "{:24s} {:9s}" + " {:>8s}" * 3


def set_to_truth(field: Field, subject: Subject) -> None:
    """Give a field's grid the signed distance of the known mesh."""
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        open3d.core.Tensor(subject.mesh.vertices.numpy().astype(np.float32)),
        open3d.core.Tensor(subject.mesh.faces.numpy().astype(np.uint32)),
    )
    shape = field.distance.shape
    index = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"), dim=-1)
    points = (field.lower + field.voxel * index.flip(-1)).reshape(-1, 3).numpy()
    distance = scene.compute_signed_distance(open3d.core.Tensor(points), nsamples=3).numpy()
    with torch.no_grad():
        voxels = torch.from_numpy(distance).reshape(shape) / field.voxel
        field.distance.copy_(close_border(voxels))


def from_truth(subject: Subject, config: FitConfig) -> Field:
    """Return what the descent makes of the true surface."""
    generator = torch.Generator().manual_seed(0)
    field = hull_field(subject.orbit, config.hull, generator)
    set_to_truth(field, subject)
    targets = cull(field, ray_targets(subject.orbit, shaded=True))
    for _ in descend(field, [targets], subject.orbit, config, generator, range(config.num_steps)):
        pass
    return field


def fields(subject: Subject, config: FitConfig) -> Iterator[tuple[str, Field]]:
    """Yield the usual fit and the one begun at the truth."""
    yield "as usual", finish(fit(subject.orbit, config, torch.Generator().manual_seed(0)))
    yield "at truth", from_truth(subject, config)


def main() -> None:
    """Print two lines a closed mesh."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of GLB files")
    parser.add_argument("--names", nargs="*", default=[], help="only these files, without .glb")
    parser.add_argument("--concave", action="store_true", help=f"only {', '.join(CONCAVE)}")
    parser.add_argument("--everyday", action="store_true", help=f"only {', '.join(EVERYDAY)}")
    arguments = parser.parse_args()
    names = {*arguments.names, *(CONCAVE if arguments.concave else ())}
    names |= set(EVERYDAY if arguments.everyday else ())
    print(ROW.format("mesh", "begun", "seen dB", "unseen", "iou"))
    for path in sorted(arguments.folder.glob("*.glb")):
        if names and path.stem not in names:
            continue
        subject = subject_of(path, "lit", SIZE)
        if not subject.watertight:
            continue
        for title, field in fields(subject, FitConfig()):
            surface = extract_mesh(field, MeshConfig())
            scores = [
                float(psnr_in_box(render_views(field, orbit.cameras), orbit).mean())
                for orbit in (subject.orbit, subject.unseen)
            ]
            iou = surface_scores(subject, surface.vertices, surface.faces)["iou"]
            values = [*(f"{score:.2f}" for score in scores), f"{iou:.3f}"]
            print(ROW.format(path.stem, title, *values), flush=True)


if __name__ == "__main__":
    main()
