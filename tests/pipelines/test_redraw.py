"""What is drawn again: the views that disagree, as the others show the object, and nothing else."""

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
from threed.progress import EarlyStop
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
    """Draws some views of its sphere in other colours, and none of them when it draws again."""

    def sample(
        self, request: GenerationRequest, generator: torch.Generator
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        drawn = yield from super().sample(request, generator)
        return spoil(drawn)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with weak views."""
    path = tmp_path_factory.mktemp("ran")
    with RunFolder.create(path) as folder:
        list(generate(BALL, folder, ForgetfulModel()))
    return path


def test_only_the_views_that_were_named_are_drawn_anew_from_what_the_others_show() -> None:
    whole = draw_sphere(orbit_cameras(12, size=32), torch.tensor([0.8, 0.3, 0.1]))
    orbit, handed = spoil(whole), []
    steps = fit(whole, FitConfig(num_steps=20), torch.Generator().manual_seed(0))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            field = stop.value
            break

    def denoise(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        handed.append((clip, sigma))
        return whole

    drawn = redraw(orbit, field, SPOILT, denoise, torch.Generator())
    kept = [view for view in range(12) if view not in SPOILT]
    assert drawn.normals is not None
    assert whole.normals is not None
    for name in ("albedo", "alpha", "normals"):
        new, old, model = (getattr(each, name) for each in (drawn, orbit, whole))
        assert torch.equal(new[kept], old[kept])
        assert torch.equal(new[list(SPOILT)], model[list(SPOILT)])
    ((clip, sigma),) = handed
    assert sigma == REDRAW_NOISE
    assert torch.equal(clip.albedo[kept], orbit.albedo[kept])
    seen = render_views(field, orbit.cameras).albedo
    assert torch.equal(clip.albedo[list(SPOILT)], seen[list(SPOILT)])
    # What was handed in is as it was.
    assert torch.equal(orbit.albedo, spoil(whole).albedo)


@pytest.mark.slow
def test_a_run_goes_on_from_the_finished_one_and_comes_out_as_if_made_in_one(
    ran: Path, tmp_path: Path
) -> None:
    report = Report.from_json((ran / "report.json").read_text())
    weak = report.doubtful()
    assert set(SPOILT) <= set(weak)
    again = replace(BALL, redraws=1, video_only=True)
    for name in ("gone on", "in one"):
        if name == "gone on":
            shutil.copytree(ran, tmp_path / name / DRAFT_NAME)
        model = ForgetfulModel()
        with RunFolder.create(tmp_path / name) as folder:
            records = list(generate(again, folder, model))
        assert {record.stage for record in records} == {"video"}
        assert not folder.file(DRAFT_NAME).exists()
        assert model.num_samples == (name == "in one")
    before, drawn, other = (
        read_orbit(path) for path in (ran, tmp_path / "gone on", tmp_path / "in one")
    )
    # A model that is loaded only to draw again has not been told the tint by a sample.
    kept = [view for view in range(12) if view not in weak]
    assert torch.equal(drawn.albedo[kept], before.albedo[kept])
    assert torch.equal(other.albedo[kept], before.albedo[kept])
    assert (drawn.albedo[weak] != before.albedo[weak]).flatten(1).any(dim=1).all()
    # Its mesh is then made of the new video, whose views agree.
    with RunFolder.create(tmp_path / "in one") as folder:
        list(generate(replace(again, video_only=False), folder, ForgetfulModel()))
    mended = Report.from_json((tmp_path / "in one" / "report.json").read_text())
    assert not mended.doubtful()
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
