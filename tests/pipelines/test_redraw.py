"""What is drawn again: every view, as all of them together show the object."""

import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.errors import RequestError
from pipelines.generate import generate
from pipelines.models.protocol import SamplerStep
from pipelines.redraw import REDRAW_NOISE, redraw
from pipelines.request import DRAFT_NAME, GenerationRequest
from tests.pipelines.sphere_model import SphereModel, draw_sphere
from threed.cameras import orbit_cameras
from threed.fit import FitConfig, fit
from threed.orbit import OrbitVideo
from threed.progress import EarlyStop, finish
from threed.render import render_views
from threed.report import Report
from threed.run_folder import RunFolder, read_orbit

SPOILT = (2, 3)
"""Views that show another thing than the rest."""
BALL = GenerationRequest(
    prompt="a ball", num_frames=12, size=32, texture_size=512, max_faces=1000, distil=False
)


def spoil(orbit: OrbitVideo) -> OrbitVideo:
    albedo, views = orbit.albedo.clone(), list(SPOILT)
    albedo[views] = albedo[views].flip(-1) * 0.3
    return replace(orbit, albedo=albedo)


class ForgetfulModel(SphereModel):
    """Draws some views of its sphere in other colours; what it is shown it draws as it is."""

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
        return clean


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with weak views."""
    path = tmp_path_factory.mktemp("ran")
    with RunFolder.create(path) as folder:
        list(generate(BALL, folder, ForgetfulModel()))
    return path


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
def test_a_run_goes_on_from_the_finished_one_and_comes_out_as_if_made_in_one(
    ran: Path, tmp_path: Path
) -> None:
    report = Report.from_json((ran / "report.json").read_text())
    assert set(SPOILT) <= {view for run in report.weak() for view in run.views}
    again = replace(BALL, redraws=1, video_only=True)
    for name in ("gone on", "in one"):
        if name == "gone on":
            shutil.copytree(ran, tmp_path / name / DRAFT_NAME)
        model = ForgetfulModel()
        with RunFolder.create(tmp_path / name) as folder:
            records = list(generate(again, folder, model))
        assert {record.stage for record in records} == {"video"}
        # A draft goes no further than its shape, which is kept.
        assert not any("texture" in record.message for record in records)
        shape = (tmp_path / name / "field.safetensors").read_bytes()
        assert shape == (ran / "field.safetensors").read_bytes()
        assert not folder.file(DRAFT_NAME).exists()
        assert model.num_samples == (name == "in one")
    before, drawn, other = (
        read_orbit(path) for path in (ran, tmp_path / "gone on", tmp_path / "in one")
    )
    assert torch.equal(drawn.albedo, other.albedo)
    # The spoilt views come nearer to what the others show.
    kept = [view for view in range(12) if view not in SPOILT]
    strayed, left = (
        (colour[list(SPOILT)] - colour[kept].mean(dim=0)).norm(dim=1)
        for colour in (
            clip.albedo.sum(dim=(1, 2)) / clip.alpha.sum(dim=(1, 2))[:, None]
            for clip in (before, drawn)
        )
    )
    assert (left < 0.6 * strayed).all()
    # Its mesh is then made of the new video, whose views agree.
    with RunFolder.create(tmp_path / "in one") as folder:
        list(generate(replace(again, video_only=False), folder, ForgetfulModel()))
    mended = Report.from_json((tmp_path / "in one" / "report.json").read_text())
    assert not mended.weak()
    assert mended.mean_psnr > report.mean_psnr + 1


@pytest.mark.slow
def test_an_early_stop_of_the_draft_keeps_its_video(ran: Path, tmp_path: Path) -> None:
    shutil.copytree(ran, tmp_path / DRAFT_NAME)
    with RunFolder.create(tmp_path / DRAFT_NAME) as draft:
        draft.discard("field")
    with RunFolder.create(tmp_path) as folder:
        steps = generate(replace(BALL, redraws=1), folder, ForgetfulModel())
        while "fitting" not in next(steps).message:
            pass
        with pytest.raises(EarlyStop):
            steps.throw(EarlyStop())
        assert folder.done("orbit")
    assert torch.equal(read_orbit(tmp_path).albedo, read_orbit(ran).albedo)


def test_how_often_is_limited_and_a_filmed_clip_is_left_as_it_is() -> None:
    with pytest.raises(RequestError, match=r"redraws is 9; it must be a whole number from 0 to 8"):
        replace(BALL, redraws=9)
    with pytest.raises(RequestError, match="was filmed"):
        replace(BALL, clip="0" * 64, redraws=1)
