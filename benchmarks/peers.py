"""nerfstudio's TensoRF and nerfacto on the CPU, their own classes, on the frames that we are given.

Left as their authors set them but for what a CPU and a single object ask: the hash grid's torch
implementation, no scene contraction, near and far planes about the object, a black background
where alpha says so, cameras that are known and so not optimised, and 1,024 rays a step instead of
4,096, or they would make but a handful of steps. Their learning rates fall as in their own configs,
over the seconds that they get. Seconds are the processor's, ours too, so that other work on the
machine favours nobody. Every third unseen view is drawn, for nerfacto takes a minute over some.
Their surface is the level of the density that comes nearest to the truth, of six that are tried:
more than anybody could know who has no truth.
"""

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.cameras import Cameras as NerfstudioCameras
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.cameras.rays import Frustums, RayBundle, RaySamples
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.models.tensorf import TensoRFModelConfig
from skimage.measure import marching_cubes
from torch import Tensor, nn

from threed.cameras import Cameras
from threed.metrics import psnr_in_box, ssim
from threed.orbit import OrbitVideo

if TYPE_CHECKING:
    from benchmarks.reconstruction import Score, Subject

RAYS_A_STEP = 1024
NEAR, FAR = 2.1, 4.3
HALF_BOX = 1.05
LEVELS = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
GRID = 128
VIEWS_APART = 3
# First and last learning rate of each group of parameters, from nerfstudio's method configs.
RATES = {
    "tensorf": {"fields": (1e-3, 1e-4), "encodings": (2e-2, 2e-3)},
    "nerfacto": {"fields": (1e-2, 1e-4), "proposal_networks": (1e-2, 1e-4)},
}
PEERS = tuple(RATES)


class _NoLpips(nn.Module):
    """In place of a metric whose weights would be fetched from the network; never asked."""

    def __init__(self, normalize: bool) -> None:
        super().__init__()


def row_name(method: str, times: float) -> str:
    """Return what a peer is called in the table that gets so many times our seconds."""
    return f"{method} x{times:g}"


def make_model(method: str, num_frames: int) -> Model:
    """Return a fresh model of one of RATES' names."""
    import torchmetrics.image.lpip

    torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity = _NoLpips  # pyright: ignore[reportAttributeAccessIssue]
    known = CameraOptimizerConfig(mode="off")
    box = SceneBox(aabb=torch.tensor([[-HALF_BOX] * 3, [HALF_BOX] * 3]))
    if method == "tensorf":
        config = TensoRFModelConfig(
            regularization="tv", camera_optimizer=known, background_color="black"
        )
    else:
        config = NerfactoModelConfig(
            implementation="torch",
            camera_optimizer=known,
            background_color="black",
            disable_scene_contraction=True,
            proposal_initial_sampler="uniform",
            near_plane=NEAR,
            far_plane=FAR,
            average_init_density=0.01,
            use_appearance_embedding=False,
        )
    return config.setup(scene_box=box, num_train_data=num_frames)


def train(model: Model, method: str, orbit: OrbitVideo, seconds: float) -> int:
    """Train a model for so many of the processor's seconds and return how many steps it made."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    cameras = nerfstudio_cameras(orbit.cameras)
    straight = orbit.albedo / orbit.alpha.clamp(min=1e-3)[..., None]
    image = torch.cat([straight.clamp(0, 1), orbit.alpha[..., None]], dim=-1)
    groups = model.get_param_groups()
    optimizers = {
        name: torch.optim.Adam(groups[name], lr=rate[0], eps=1e-15)
        for name, rate in RATES[method].items()
    }
    model.train()
    started, step = time.process_time(), 0
    while (spent := time.process_time() - started) < seconds:
        for name, (first, last) in RATES[method].items():
            for group in optimizers[name].param_groups:
                group["lr"] = first * (last / first) ** (spent / seconds)
            optimizers[name].zero_grad(set_to_none=True)
        if method == "nerfacto":
            _anneal_proposals(model, step)
        view, row, column = (
            torch.randint(n, (RAYS_A_STEP,), generator=generator) for n in orbit.alpha.shape
        )
        bundle = cameras.generate_rays(view[:, None], coords=torch.stack([row, column], -1) + 0.5)
        outputs = model(bundle)
        batch = {"image": image[view, row, column]}
        metrics = model.get_metrics_dict(outputs, batch) if method == "nerfacto" else None
        loss = sum(model.get_loss_dict(outputs, batch, metrics).values())
        loss.backward()  # pyright: ignore[reportAttributeAccessIssue]
        for optimizer in optimizers.values():
            optimizer.step()
        if method == "nerfacto":
            model.proposal_sampler.step_cb(step)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        step += 1
    model.eval()
    return step


def _anneal_proposals(model: Model, step: int) -> None:
    """Do what nerfacto's callback does before a step (mip-NeRF 360, equation 18)."""
    share = min(1.0, step / model.config.proposal_weights_anneal_max_num_iters)  # pyright: ignore[reportAttributeAccessIssue]
    slope = model.config.proposal_weights_anneal_slope  # pyright: ignore[reportAttributeAccessIssue]
    model.proposal_sampler.set_anneal(slope * share / ((slope - 1) * share + 1))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def nerfstudio_cameras(cameras: Cameras) -> NerfstudioCameras:
    """Return our cameras as nerfstudio's, whose conventions are the same."""
    return NerfstudioCameras(
        camera_to_worlds=cameras.c2w[:, :3],
        fx=cameras.focal[:, None],
        fy=cameras.focal[:, None],
        cx=torch.full_like(cameras.focal, cameras.width / 2)[:, None],
        cy=torch.full_like(cameras.focal, cameras.height / 2)[:, None],
        width=cameras.width,
        height=cameras.height,
        camera_type=CameraType.PERSPECTIVE,
    )


def render(model: Model, cameras: Cameras) -> OrbitVideo:
    """Return whole frames of a trained model, over black."""
    theirs = nerfstudio_cameras(cameras)
    colours, alphas = [], []
    for view in range(len(cameras)):
        bundle: RayBundle = theirs.generate_rays(view)
        with torch.no_grad():
            outputs = model.get_outputs_for_camera_ray_bundle(bundle)
        colours.append(outputs["rgb"])
        alphas.append(outputs["accumulation"][..., 0])
    return OrbitVideo(
        albedo=torch.stack(colours).clamp(0, 1),
        alpha=torch.stack(alphas).clamp(0, 1),
        normals=None,
        cameras=cameras,
    )


def density_grid(model: Model) -> np.ndarray:
    """Return the density at GRID points a side of the box, indexed x, y, z."""
    axis = torch.linspace(-HALF_BOX, HALF_BOX, GRID)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    parts: list[Tensor] = []
    with torch.no_grad():
        for chunk in points.reshape(-1, 3).split(1 << 16):
            place = chunk[None]
            nothing = torch.zeros_like(place[..., :1])
            frustums = Frustums(place, torch.ones_like(place), nothing, nothing, nothing)
            # TensoRF's returns the density alone, for which its own `density_fn` is not made.
            density = model.field.get_density(RaySamples(frustums=frustums))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
            parts.append((density[0] if isinstance(density, tuple) else density)[0, :, 0])
    return torch.cat(parts).reshape(GRID, GRID, GRID).numpy()


def score_peer(subject: "Subject", method: str, times: float, our_seconds: float) -> "Score":
    """Return how well a peer does with so many times our seconds."""
    from benchmarks.reconstruction import Score, surface_scores
    from benchmarks.stages import Stages

    stages = Stages()
    model = make_model(method, subject.orbit.num_frames)
    with stages.stage("fit"):
        train(model, method, subject.orbit, times * our_seconds)
    unseen = subject.unseen.select(list(range(0, subject.unseen.num_frames, VIEWS_APART)))
    seen = render(model, unseen.cameras)
    density = np.pad(density_grid(model), 1)
    spacing = 2 * HALF_BOX / (GRID - 1)
    best = {"chamfer": math.nan, "f_score": math.nan, "iou": math.nan}
    for level in LEVELS:
        if not density.min() < level < density.max():
            continue
        vertices, faces, _, _ = marching_cubes(density, level, gradient_direction="ascent")
        world = (vertices - 1) * spacing - HALF_BOX
        scores = surface_scores(subject, world, faces)
        if not best["chamfer"] < scores["chamfer"]:
            best = scores
    return Score(
        name=subject.name,
        light=subject.light,
        method=row_name(method, times),
        field=float(psnr_in_box(seen, unseen).mean()),
        mesh=math.nan,
        ssim=float(ssim(seen.albedo, unseen.albedo).mean()),
        **best,
        seconds=stages.total,
        processor=times * our_seconds,
        mib=stages.peak_mib,
        stages=stages.by_name,
    )
