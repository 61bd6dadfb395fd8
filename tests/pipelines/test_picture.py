"""A visitor's own picture through the chain: framed as orbits are, kept, and given to the model."""

import hashlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pipelines.errors import RequestError
from pipelines.generate import generate
from pipelines.jobs.estimate import requested_stages
from pipelines.jobs.store import JobStore, new_session
from pipelines.models import catalogue
from pipelines.models.catalogue import EMBEDDED, check_request
from pipelines.models.protocol import Abilities, SamplerStep
from pipelines.provenance import read_provenance
from pipelines.request import PICTURE_NAME, SEEN_NAME, GenerationRequest
from pipelines.video.framing import OUTLINE_SHARE, frame_picture
from tests.pipelines.sphere_model import SphereModel
from tests.threed.test_picture import BOX, ORANGE, drawn, save
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit
from threed.progress import Progress
from threed.run_folder import RunFolder


class PaintedSphere(SphereModel):
    """Paints its sphere in the picture's colour, where it is given one."""

    @property
    def abilities(self) -> Abilities:
        return replace(super().abilities, image=True)

    def sample(
        self,
        request: GenerationRequest,
        generator: torch.Generator,
        picture: Tensor | None = None,
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        orbit = yield from super().sample(request, generator)
        if picture is None:
            return orbit
        colour = picture[..., :3].sum(dim=(0, 1)) / picture[..., 3].sum()
        return replace(orbit, albedo=orbit.alpha[..., None] * colour)


def request_of(path: Path, **changes: object) -> GenerationRequest:
    request = GenerationRequest(
        prompt="IMG 2034",
        picture=hashlib.sha256(path.read_bytes()).hexdigest(),
        num_frames=8,
        size=32,
        video_only=True,
    )
    return replace(request, **changes)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", drawn((9, 9, 9, 0), BOX))


def drive(request: GenerationRequest, path: Path, picture: Path | None = None) -> list[Progress]:
    with RunFolder.create(path) as folder:
        return list(generate(request, folder, PaintedSphere(), picture=picture))


@pytest.mark.parametrize(("height", "width"), [(40, 100), (700, 500), (9, 16)])
def test_an_object_is_centred_and_as_large_as_in_the_default_orbit(height: int, width: int) -> None:
    frame = frame_picture(torch.ones(height, width, 4), 64)
    assert frame.shape == (64, 64, 4)
    coverage = frame[..., 3]
    # The area says the size to less than a pixel.
    scale = OUTLINE_SHARE * 64 / max(height, width)
    assert abs(float(coverage.sum()) / (scale**2 * height * width) - 1) < 0.08
    assert_close(coverage, coverage.flip(0), atol=0.02, rtol=0)
    assert_close(coverage, coverage.flip(1), atol=0.02, rtol=0)
    assert bool((frame[..., :3] <= frame[..., 3:]).all())


def test_the_picture_reaches_the_model_and_stays_with_the_run(photo: Path, tmp_path: Path) -> None:
    request = request_of(photo)
    records = drive(request, tmp_path / "run", photo)
    folder = RunFolder(tmp_path / "run")
    assert folder.file(PICTURE_NAME).read_bytes() == photo.read_bytes()
    orbit = read_orbit(folder.path)
    inside = orbit.albedo[orbit.alpha == 1]
    assert_close(inside, (torch.tensor(ORANGE) / 255).expand_as(inside), atol=0.01, rtol=0)
    assert read_provenance(folder.file("orbit.mp4")).request == request
    # A file's name is no prompt that anybody need be warned of.
    assert "Warning" not in records[0].message
    assert "'IMG 2034' are no help" in records[0].message


def test_the_folders_picture_serves_and_a_finished_video_needs_none(
    photo: Path, tmp_path: Path
) -> None:
    request = request_of(photo)
    (tmp_path / "run").mkdir()
    photo.rename(tmp_path / "run" / PICTURE_NAME)
    drive(request, tmp_path / "run")
    (tmp_path / "run" / PICTURE_NAME).unlink()
    assert drive(request, tmp_path / "run") == []


def test_another_run_in_the_folder_takes_the_picture_away_or_brings_its_own(
    photo: Path, tmp_path: Path
) -> None:
    drive(request_of(photo), tmp_path / "run", photo)
    words = replace(request_of(photo), picture=None, seed=1)
    with pytest.raises(RequestError, match="holds the run of another request"):
        drive(words, tmp_path / "run")
    kept = (tmp_path / "run" / PICTURE_NAME, tmp_path / "run" / SEEN_NAME)
    assert all(path.is_file() for path in kept)
    with RunFolder.create(tmp_path / "run") as folder:
        list(generate(words, folder, PaintedSphere(), overwrite=True))
        assert not any(path.exists() for path in kept)
        list(generate(request_of(photo), folder, PaintedSphere(), overwrite=True, picture=photo))
    assert all(path.is_file() for path in kept)


def test_a_picture_that_is_gone_or_another_is_refused_and_leaves_nothing(
    photo: Path, tmp_path: Path
) -> None:
    request = request_of(photo)
    with pytest.raises(RequestError, match="is gone"):
        drive(request, tmp_path / "run")
    other = save(tmp_path / "other.png", drawn((9, 9, 9, 0), BOX, side=200))
    with pytest.raises(RequestError, match="another than that of this request"):
        drive(request, tmp_path / "run", other)
    assert not (tmp_path / "run").exists()


def test_a_model_that_takes_no_picture_is_refused_with_those_that_do(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(photo, size=None)
    with (
        RunFolder.create(tmp_path / "run") as folder,
        pytest.raises(RequestError, match=r"'embedded' takes no picture; choose .*'sana-wm'"),
    ):
        list(generate(request, folder, SphereModel(), picture=photo))
    for pictures in (False, True):
        settings = (EMBEDDED.folder / "settings.json").read_text()
        assert '"pictures": ' in settings
        text = settings.replace("true", "false").replace("false", str(pictures).lower())
        (tmp_path / "settings.json").write_text(text)
        card = replace(EMBEDDED, folder=tmp_path)
        monkeypatch.setattr(catalogue, "MODELS", (card, *catalogue.MODELS[1:]))
        assert card.image is pictures
        if pictures:
            check_request(request)
        else:
            with pytest.raises(RequestError, match="'embedded' takes no picture"):
                check_request(request)


def test_a_job_keeps_its_picture_beside_it_and_is_not_refined(photo: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "runs")
    request = request_of(photo, video_only=False)
    job = store.status(store.submit(request, new_session(), source=photo))
    assert (store.folder(job) / PICTURE_NAME).read_bytes() == photo.read_bytes()
    assert "distillation" not in requested_stages(request)
    assert "distillation" in requested_stages(replace(request, picture=None))
