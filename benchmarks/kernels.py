"""Times every compiled kernel beside the line of torch that other devices run, both on the CPU.

    python -m benchmarks.kernels MESH.glb [--threads 2]

Of a GLB in the corpus's form an orbit is rendered and fitted for a few steps. Printed are
milliseconds of one batch of such a fit, there and back, medians of runs taken by turns; drawing is
of the mesh in all views. The values of both are compared by tests/threed/test_kernels.py.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.reconstruction import render_truth, wavy_orbit
from pipelines.training.meshes import read_glb
from threed import rasterize as raster
from threed.adam import Adam, _step_anywhere
from threed.compile import compile_kernels
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.losses import LossConfig, surface_loss, surface_loss_anywhere
from threed.orbit import OrbitVideo
from threed.progress import finish
from threed.render import BAND_LENGTHS, _End, _See, pixel_sharpness, see_samples, surface_weights
from threed.sampling import _walk_cells, _walk_rays, box_interval
from threed.targets import cull, draw_batches, ray_targets

Work = Callable[[], object]
NUM_STEPS = 40
NUM_RUNS = 15
ROW = "{:<34s} {:>9s} {:>9s} {:>7s}"


def pairs(field: Field, orbit: OrbitVideo, config: FitConfig) -> dict[str, tuple[Work, Work]]:
    """Return what is timed, by name: compiled, and in torch."""
    sharpness = pixel_sharpness(field, orbit.cameras)
    width, generator = BAND_LENGTHS / sharpness, torch.Generator().manual_seed(0)
    band, (batch, *_) = draw_batches(
        field,
        [cull(field, ray_targets(orbit))],
        num_batches=config.batches_a_march,
        num_rays=config.rays_a_step,
        band_width=width,
        step=config.step_length,
        generator=generator,
    )
    rays, samples = batch.targets, batch.samples
    near, far = box_interval(field, rays.origins, rays.directions)
    length = config.step_length * float(field.voxel)
    walked = (field, rays.origins, rays.directions, near - length / 2, far + length, width, length)
    table, bend = (t.detach().requires_grad_() for t in band.values(field))
    values = batch.at_samples(table).detach().requires_grad_()
    weights = surface_weights(values[:, 0], samples, sharpness).detach().requires_grad_()
    chosen = (weights.detach() > 0.01).nonzero()[:, 0]
    points = samples.points[chosen]
    albedo = field.albedo(points).detach().requires_grad_()
    local = (points - field.lower - 0.5 * field.size) / (0.5 * field.size.max())
    between, loss = batch.at_samples, LossConfig()
    index, shares = between.index.long(), between.weights

    def bag() -> Tensor:
        return F.embedding_bag(index, table, per_sample_weights=shares, mode="sum")

    def there_and_back(work: Callable[[], Tensor | tuple[Tensor, ...]]) -> Work:
        def both() -> None:
            outputs = work()
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            torch.autograd.backward(outputs, [torch.ones_like(out) for out in outputs])

        return both

    plain = {
        "distance and differences": (
            lambda: band.values(field),
            lambda: band.differences(field.distance),
        ),
        "values between vertices": (lambda: between(table), bag),
        "where rays end": (
            lambda: _End.apply(values, samples, sharpness),
            lambda: surface_weights(values[:, 0], samples, sharpness),
        ),
        "what they see": (
            lambda: _See.apply(weights, values, albedo, samples, chosen),
            lambda: see_samples(weights, values, albedo, samples, chosen),
        ),
        "the surface's loss": (
            lambda: surface_loss(table, bend, loss),
            lambda: surface_loss_anywhere(table, bend, loss),
        ),
        "colour": (lambda: field.albedo(points), lambda: field.colour(field.planes(local))),
    }
    timed = {name: tuple(there_and_back(w) for w in works) for name, works in plain.items()}
    timed["walk along rays"] = (lambda: _walk_rays(*walked), lambda: _walk_cells(*walked))
    timed["a step of Adam"] = _steps(field)
    return timed  # pyright: ignore[reportReturnType]


def _steps(field: Field) -> tuple[Work, Work]:
    grid = field.distance.detach().clone()
    grad = torch.where(grid.abs() < 3, grid, 0.0)
    adam = Adam([grid], floor=1e-3)
    mean, square = torch.zeros_like(grid), torch.zeros_like(grid)

    def step() -> None:
        grid.grad = grad
        adam.step(0.0)

    return step, lambda: _step_anywhere(grid, mean, square, grad, (1.0, 1.0), 0.0, 1e-3)


def drawing(vertices: Tensor, faces: Tensor, orbit: OrbitVideo) -> tuple[Work, Work]:
    """Return the mesh's drawing in all views, compiled and in torch."""
    compiled = raster._draw

    def draw(by: Callable[..., None]) -> Work:
        def work() -> None:
            raster._draw = by
            raster.rasterize(vertices, faces, orbit.cameras)
            raster._draw = compiled

        return work

    return draw(compiled), draw(raster._draw_chunks)


def main() -> None:
    """Print a row a kernel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, help="a GLB file")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compile_kernels()
    mesh = read_glb(arguments.mesh)
    orbit = render_truth(mesh, wavy_orbit(arguments.size, 24), "lit")
    config = replace(FitConfig(), num_steps=NUM_STEPS)
    field = finish(fit(orbit, config, torch.Generator().manual_seed(0)))
    timed = pairs(field, orbit, config)
    timed["drawing a mesh"] = drawing(mesh.vertices, mesh.faces, orbit)
    print(ROW.format("", "compiled", "torch", "ratio"))
    for name, works in timed.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        for run in range(NUM_RUNS + 1):
            for work, taken in zip(works, seconds, strict=True):
                begin = time.perf_counter()
                work()
                if run > 0:
                    taken.append(time.perf_counter() - begin)
        ours, theirs = (1e3 * statistics.median(taken) for taken in seconds)
        print(ROW.format(name, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}"), flush=True)


if __name__ == "__main__":
    main()
