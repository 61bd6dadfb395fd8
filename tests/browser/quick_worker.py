"""A worker whose jobs take a second or two: true files of an egg, whatever the prompt says.

    python -m tests.browser.quick_worker RUNS_FOLDER

The seed says how the egg is stretched, so that no two variations look alike. A prompt that begins
with `slow` takes long enough to be cancelled or stopped; `fail` ends in an honest failure.
"""

import time
from collections.abc import Generator

import numpy as np
import torch
from torch.nn import functional

from pipelines.errors import ReconstructionError
from pipelines.jobs.records import KnownThings
from pipelines.jobs.worker import main
from pipelines.models.catalogue import redraws
from pipelines.picture import keep_picture, request_picture
from pipelines.provenance import as_comment
from pipelines.request import PICTURE_NAME, GenerationRequest
from pipelines.run_request import write_request
from tests.threed.egg import egg
from threed.cameras import Cameras, camera_rays, orbit_cameras
from threed.export import export_glb
from threed.orbit import OrbitVideo, display_frames
from threed.orbit_files import read_orbit, write_orbit
from threed.preview import write_webp
from threed.progress import STAGES, Progress
from threed.report import Report, verdict
from threed.run_folder import REDRAWN_NAME, RunFolder
from threed.textured_mesh import TexturedMesh

NUM_STEPS = 4


class QuickChain:
    """Makes eggs."""

    def warm(self) -> None:
        pass

    def known(self, request: GenerationRequest) -> KnownThings:
        return KnownThings(familiar="dragon" not in request.prompt, names=("egg", "ball", "stone"))

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        pause = 1.0 if request.prompt.startswith("slow") else 0.15
        provenance = write_request(request, folder)
        if request.picture is not None:
            place = folder.file(PICTURE_NAME)
            keep_picture(request_picture(request, place), place, folder)
        yield Progress(stage="video", step=0, num_steps=NUM_STEPS, message="starting")
        if request.prompt.startswith("fail"):
            raise ReconstructionError("no surface was found; try another seed")
        mesh = egg(scale=measures(request.seed))
        if not folder.done("orbit"):
            yield from self._film(request, folder, provenance, pause)
        if request.video_only:
            return None
        yield from self._build(request, folder, mesh, provenance, pause)
        return None

    def _film(
        self, request: GenerationRequest, folder: RunFolder, provenance: dict, pause: float
    ) -> Generator[Progress, None, None]:
        orbit = film(request.seed, orbit_cameras(request.num_frames, size=64))
        clean = display_frames(orbit).numpy()
        noise = np.random.default_rng(request.seed).random(clean.shape)
        for step in range(1, NUM_STEPS + 1):
            time.sleep(pause)
            left = 1 - step / NUM_STEPS
            frames = np.rint(255 * ((1 - left) * clean + left * noise)).astype(np.uint8)
            yield Progress(
                stage="video", step=step, num_steps=NUM_STEPS, message="drawing", preview=frames
            )
        with folder.stage("orbit") as temporary:
            write_orbit(temporary, orbit, as_comment(provenance))

    def _build(
        self,
        request: GenerationRequest,
        folder: RunFolder,
        mesh: TexturedMesh,
        provenance: dict,
        pause: float,
    ) -> Generator[Progress, None, None]:
        again = redraws(request)
        shown = display_frames(film(request.seed, orbit_cameras(12, size=96)))
        turning = (shown * 255).round().byte().numpy()
        for stage in STAGES[1:]:
            if stage == "redraw" and not again:
                continue
            for step in range(1, NUM_STEPS + 1):
                time.sleep(pause / 2)
                yield Progress(
                    stage=stage, step=step, num_steps=NUM_STEPS, message=stage, preview=turning[:8]
                )
            if stage == "redraw":
                with folder.stage("redraw") as temporary:
                    (temporary / REDRAWN_NAME).mkdir()
                    write_orbit(temporary / REDRAWN_NAME, read_orbit(folder.path))
        with folder.stage("mesh") as temporary:
            export_glb(mesh, temporary / "mesh.glb", unlit=False, extras=provenance)
            write_webp(turning, temporary / "preview.webp")
        psnr = [26 + 5 * float(np.cos(index)) for index in range(request.num_frames)]
        report = Report(
            psnr=psnr,
            mean_psnr=sum(psnr) / len(psnr),
            worst_view=psnr.index(min(psnr)),
            mesh_psnr=25.0,
            watertight=True,
            num_faces=len(mesh.faces),
            num_vertices=len(mesh.vertices),
            texture_size=256,
            glb_bytes=folder.file("mesh.glb").stat().st_size,
            light_baked=False,
            seconds={"field": 3.0, "mesh": 1.0, "texture": 1.5},
            verdict=verdict(
                psnr,
                watertight=True,
                light_baked=False,
                redrawn_psnr=30.0 if again else None,
            ),
            redrawn_psnr=30.0 if again else None,
        )
        with folder.stage("report") as temporary:
            (temporary / "report.json").write_text(report.to_json(), "utf-8")


def measures(seed: int) -> tuple[float, float, float]:
    """Return the half axes of a seed's egg."""
    x, y, z = (0.35 + 0.5 * torch.rand(3, generator=torch.Generator().manual_seed(seed))).tolist()
    return x, y, z


def film(seed: int, cameras: Cameras) -> OrbitVideo:
    """Return what the cameras see of a seed's egg, in closed form: where rays meet an ellipsoid."""
    axes = torch.tensor(measures(seed))
    origins, directions = (part / axes for part in camera_rays(cameras))
    a = directions.square().sum(dim=-1)
    b = (origins * directions).sum(dim=-1)
    room = b.square() - a * (origins.square().sum(dim=-1) - 1)
    hit = (room > 0)[..., None].float()
    unit = origins + directions * ((-b - room.clamp(min=0).sqrt()) / a)[..., None]
    return OrbitVideo(
        albedo=(unit + 1) / 2 * hit,
        alpha=hit[..., 0],
        normals=functional.normalize(unit / axes, dim=-1) * hit,
        cameras=cameras,
    )


if __name__ == "__main__":
    main(QuickChain())
