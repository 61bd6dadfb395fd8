"""What is drawn again: every view, as all of them together show the object."""

import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from pipelines.errors import RequestError
from pipelines.generate import generate
from pipelines.models.catalogue import MODELS, redraws
from pipelines.models.protocol import SamplerStep
from pipelines.redraw import REDRAW_NOISE, redraw
from pipelines.request import GenerationRequest
from tests.pipelines.sphere_model import SphereModel, draw_sphere
from threed.cameras import orbit_cameras
from threed.fit import FitConfig, fit
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit
from threed.preview import render_mesh
from threed.progress import STAGES, finish
from threed.render import render_views
from threed.report import Report
from threed.run_folder import RunFolder, shown_orbit
from threed.textured_mesh import read_own_glb

SPOILT = (2, 3)
"""Views that show another thing than the rest."""
BALL = GenerationRequest(
    prompt="a ball", num_frames=12, size=32, texture_size=512, max_faces=1000, distil=False
)
REST = STAGES[STAGES.index("redraw") :]


def spoil(orbit: OrbitVideo) -> OrbitVideo:
    albedo, views = orbit.albedo.clone(), list(SPOILT)
    albedo[views] = albedo[views].flip(-1) * 0.3
    return replace(orbit, albedo=albedo)


class ForgetfulModel(SphereModel):
    """Draws some views of its sphere in other colours; what it is shown it draws as it is."""

    findings: ClassVar = {"found": "a ball"}

    def sample(
        self, request: GenerationRequest, generator: torch.Generator
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        drawn = yield from super().sample(request, generator)
        return spoil(drawn)

    def denoise(
        self,
        clean: OrbitVideo,
        sigma: float,
        request: GenerationRequest,
        generator: torch.Generator,
        num_steps: int,
    ) -> OrbitVideo:
        return replace(clean, albedo=clean.albedo * (1 - 1e-3 * torch.rand(1, generator=generator)))


def run(request: GenerationRequest, path: Path, stop_at: str | None = None) -> list[str]:
    """Carry a request out and return the stages that ran; up to the first record of one if told."""
    ran: list[str] = []
    with RunFolder.create(path) as folder:
        for record in generate(request, folder, ForgetfulModel()):
            if record.stage == stop_at:
                break
            ran += [record.stage] * (record.stage not in ran)
    return ran


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with weak views that were drawn again."""
    path = tmp_path_factory.mktemp("ran")
    assert run(BALL, path) == [stage for stage in STAGES if stage != "distillation"]
    return path


@pytest.fixture
def begun(ran: Path, tmp_path: Path) -> Path:
    """The same run, cut off between the new video and the mesh."""
    shutil.copytree(ran, tmp_path / "begun")
    with RunFolder.create(tmp_path / "begun") as folder:
        folder.discard("mesh")
    return tmp_path / "begun"


@pytest.mark.parametrize("normals", [True, False])
def test_the_model_is_shown_the_field_s_own_pictures_and_what_it_makes_of_them_is_the_video(
    normals: bool,
) -> None:
    whole = draw_sphere(orbit_cameras(12, size=32), torch.tensor([0.8, 0.3, 0.1]))
    steps = fit(whole, FitConfig(num_steps=20), torch.Generator().manual_seed(0))
    field, handed = finish(steps), []
    # Models that give no normals are shown none.
    orbit = spoil(whole if normals else replace(whole, normals=None))

    def denoise(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        handed.append((clip, sigma))
        return whole

    drawn = redraw(orbit, field, denoise, torch.Generator())
    assert drawn is whole
    ((clip, sigma),) = handed
    assert sigma == REDRAW_NOISE
    seen = render_views(field, orbit.cameras)
    assert torch.equal(clip.albedo, seen.albedo)
    assert torch.equal(clip.alpha, seen.alpha)
    assert (clip.normals is not None) == normals
    # What was handed in is as it was.
    assert torch.equal(orbit.albedo, spoil(whole).albedo)


@pytest.mark.slow
def test_the_texture_is_of_the_new_frames_and_the_shape_and_the_verdict_of_the_first(
    ran: Path, begun: Path
) -> None:
    # Up to the mesh another setting is free, and what the former one left is gone.
    assert run(replace(BALL, redraw=False), begun) == ["video", *REST[1:]]
    assert (shown_orbit(ran), shown_orbit(begun)) == (ran / "redrawn", begun)
    same = ("orbit.npz", "orbit.mp4", "field.safetensors")
    assert all((ran / name).read_bytes() == (begun / name).read_bytes() for name in same)
    first, again = read_orbit(ran), read_orbit(shown_orbit(ran))
    kept = [view for view in range(12) if view not in SPOILT]

    def strayed(clip: OrbitVideo) -> torch.Tensor:
        colour = clip.albedo.sum(dim=(1, 2)) / clip.alpha.sum(dim=(1, 2))[:, None]
        return (colour[list(SPOILT)] - colour[kept].mean(dim=0)).norm(dim=1)

    assert (strayed(again) < 0.6 * strayed(first)).all()
    seen = {
        path: render_mesh(read_own_glb(path / "mesh.glb"), first.cameras) for path in (ran, begun)
    }
    assert (strayed(seen[ran]) < strayed(seen[begun])).all()
    old, new = (
        Report.from_json((path / "report.json").read_text("utf-8")) for path in (begun, ran)
    )
    assert old.psnr == new.psnr
    assert set(SPOILT) <= {view for run in new.weak() for view in run.views}
    assert new.redrawn_psnr is not None
    assert new.redrawn_psnr > new.mean_psnr + 3
    assert f"by what its views agree on ({new.redrawn_psnr:.1f} dB now)" in new.verdict
    assert new.mesh_psnr > old.mesh_psnr
    assert (old.redrawn_psnr, "drawn again" in old.verdict) == (None, False)


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["before", "within", "after"])
def test_a_run_that_was_cut_off_about_it_comes_out_as_if_it_had_not_been(
    ran: Path, begun: Path, cut: str
) -> None:
    with RunFolder.create(begun) as folder:
        if cut != "after":
            folder.discard("redraw")
    if cut == "within":
        assert run(BALL, begun, stop_at="mesh") == ["video", "redraw"]
    resumed = run(BALL, begun)
    assert resumed == ["video", *(REST if cut == "before" else REST[1:])]
    for name in ("redrawn/orbit.npz", "redrawn/orbit.mp4", "mesh.glb"):
        assert (begun / name).read_bytes() == (ran / name).read_bytes()


def test_what_is_drawn_again_is_what_a_model_drew_of_words_for_a_mesh() -> None:
    assert {card.name for card in MODELS if redraws(replace(BALL, model=card.name))} == {"embedded"}
    for card in MODELS:
        for told in (True, False):
            assert redraws(replace(BALL, model=card.name, redraw=told)) is told
    for upload in ("clip", "picture"):
        given = replace(BALL, **{upload: "0" * 64})
        assert not redraws(given)
        with pytest.raises(RequestError, match="redraw is true; .* is not drawn again"):
            replace(given, redraw=True)
    assert not redraws(replace(BALL, video_only=True, redraw=True))


def test_a_request_of_a_version_that_counted_redraws_is_read() -> None:
    old = json.loads(BALL.to_json())
    del old["redraw"]
    assert GenerationRequest.from_json(json.dumps({**old, "redraws": 0})) == BALL
