"""Shows how the cost of a reconstruction grows with the pixels and with the views.

    python -m benchmarks.cost MESH.glb [--sizes 64 128 256] [--views 12 24 48]

Of a GLB in the corpus's form an orbit is rendered at every size and number of views; of each the
processor's seconds for field, surface and texture are printed, which other work on the machine
does not change, and their ratio to the first row's beside the ratio of pixels times views. Cost
grows no faster than linearly where the first ratio stays at or below the second.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.reconstruction import render_truth, wavy_orbit
from pipelines.training.meshes import PackedMesh, read_glb
from threed.fit import FitConfig, fit
from threed.mesh import MeshConfig, extract_mesh
from threed.metrics import psnr_in_box
from threed.progress import finish
from threed.render import render_views
from threed.texture import bake, unwrap

TEXTURE_SIZE = 1024
UNSEEN_VIEWS = 12
ROW = "{:>6s} {:>6s} {:>9s} {:>9s} {:>9s} {:>9s} {:>10s} {:>8s}"


def measure(mesh: PackedMesh, size: int, num_views: int) -> tuple[float, float, float]:
    """Return processor seconds till the field and till the textured mesh, and unseen views' dB."""
    orbit = render_truth(mesh, wavy_orbit(size, num_views), "lit")
    begin = time.process_time()
    field = finish(fit(orbit, FitConfig(), torch.Generator().manual_seed(0)))
    fitted = time.process_time()
    bake(unwrap(extract_mesh(field, MeshConfig())), field, orbit, TEXTURE_SIZE)
    textured = time.process_time()
    unseen = render_truth(mesh, wavy_orbit(size, UNSEEN_VIEWS, torch.pi / num_views), "lit")
    agreement = float(psnr_in_box(render_views(field, unseen.cameras), unseen).mean())
    return fitted - begin, textured - begin, agreement


def main() -> None:
    """Print a row a size and number of views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, help="a GLB file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--views", type=int, nargs="+", default=[12, 24, 48])
    arguments = parser.parse_args()
    mesh = read_glb(arguments.mesh)
    print(ROW.format("pixels", "views", "field s", "mesh s", "times", "linear", "unseen dB", ""))
    first: tuple[float, int] | None = None
    for size in arguments.sizes:
        for num_views in arguments.views:
            field_seconds, seconds, agreement = measure(mesh, size, num_views)
            work = size * size * num_views
            first = first or (seconds, work)
            times, linear = seconds / first[0], work / first[1]
            print(
                ROW.format(
                    f"{size}²",
                    str(num_views),
                    f"{field_seconds:.1f}",
                    f"{seconds:.1f}",
                    f"{times:.2f}",
                    f"{linear:.0f}",
                    f"{agreement:.1f}",
                    "" if times <= linear else "more",
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
