"""The chain's laws: one seed one result, interrupted or not, and nothing half-written."""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from pipelines.errors import RequestError
from pipelines.generate import distillation_for, generate, stage_generator
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from pipelines.run_request import check_folder
from tests.pipelines.sphere_model import RADIUS, SphereModel
from threed.orbit import display_frames
from threed.orbit_files import read_orbit
from threed.progress import STAGES, EarlyStop, Progress
from threed.run_folder import RunFolder

VIDEO = GenerationRequest(prompt="a ball", seed=7, num_frames=8, size=32, video_only=True)


def _drive(
    request: GenerationRequest, path: Path, model: SphereModel | None = None
) -> list[Progress]:
    return list(generate(request, RunFolder.create(path), model or SphereModel()))


def _files(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def _frames(path: Path) -> torch.Tensor:
    return read_orbit(path).albedo


@pytest.mark.parametrize("ability", ["cameras", "alpha"])
def test_only_a_model_that_is_told_the_views_gets_heavy_noise(ability: str) -> None:
    """Another reads them from the clip, which must stay to be seen."""
    told = SphereModel().abilities
    assert min(distillation_for(told).noise) > 0.7
    assert max(distillation_for(replace(told, **{ability: False})).noise) <= 0.5


def test_the_sphere_is_a_video_model() -> None:
    assert isinstance(SphereModel(), VideoModel)


def test_a_video_is_written_whole(tmp_path: Path) -> None:
    records = _drive(VIDEO, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"request.json", "orbit.npz", "orbit.mp4", "transforms.json", "images"} <= names
    assert len(list((tmp_path / "images").iterdir())) == VIDEO.num_frames
    assert GenerationRequest.from_json((tmp_path / "request.json").read_text()) == VIDEO
    assert [record.step for record in records] == [0, 1, 2, 3]
    assert {record.stage for record in records} == {"video"}
    preview = records[-1].preview
    assert preview is not None
    assert preview.shape == (8, 32, 32, 3)


def test_one_seed_makes_one_video_whatever_ran_before(tmp_path: Path) -> None:
    _drive(VIDEO, tmp_path / "first")
    torch.manual_seed(99)
    model = SphereModel()
    _drive(replace(VIDEO, seed=8), tmp_path / "other", model)
    _drive(VIDEO, tmp_path / "second", model)
    assert torch.equal(_frames(tmp_path / "first"), _frames(tmp_path / "second"))
    assert not torch.equal(_frames(tmp_path / "first"), _frames(tmp_path / "other"))


@pytest.mark.parametrize("num_records", [1, 2, 4])
def test_an_interrupted_video_is_begun_again_and_comes_out_the_same(
    tmp_path: Path, num_records: int
) -> None:
    _drive(VIDEO, tmp_path / "whole")
    model = SphereModel()
    steps = generate(VIDEO, RunFolder.create(tmp_path / "cut"), model)
    for _ in range(num_records):
        next(steps)
    steps.close()
    assert model.num_closed == model.num_samples
    assert not (tmp_path / "cut" / "orbit.npz").exists()
    _drive(VIDEO, tmp_path / "cut", model)
    assert torch.equal(_frames(tmp_path / "whole"), _frames(tmp_path / "cut"))


def test_a_finished_video_is_not_made_twice(tmp_path: Path) -> None:
    model = SphereModel()
    _drive(VIDEO, tmp_path, model)
    before = _files(tmp_path)
    assert _drive(VIDEO, tmp_path, model) == []
    assert model.num_samples == 1
    assert _files(tmp_path) == before


def test_a_folder_holds_one_request(tmp_path: Path) -> None:
    _drive(VIDEO, tmp_path)
    before = _files(tmp_path)
    with pytest.raises(RequestError, match=r"another request .*seed is 7 there and 8 here"):
        _drive(replace(VIDEO, seed=8), tmp_path)
    assert _files(tmp_path) == before
    # To stop at the video is not another wish: the same run can be taken on to the mesh.
    check_folder(replace(VIDEO, video_only=False), RunFolder(tmp_path))
    # Nor is another texture, as long as there is no mesh that has one.
    finer = replace(VIDEO, video_only=False, texture_size=2048, distil=False)
    check_folder(finer, RunFolder(tmp_path))
    with RunFolder.create(tmp_path) as folder, folder.stage("field"):
        pass
    with pytest.raises(RequestError, match="distil is True there and False here"):
        check_folder(finer, RunFolder(tmp_path))


def test_an_early_stop_keeps_the_video_as_it_was_guessed_by_then(tmp_path: Path) -> None:
    model = SphereModel()
    steps = generate(VIDEO, RunFolder.create(tmp_path), model)
    records = [next(steps) for _ in range(3)]
    with pytest.raises(EarlyStop):
        steps.throw(EarlyStop())
    assert RunFolder(tmp_path).done("orbit")
    shown = records[-1].preview
    assert shown is not None
    kept = display_frames(read_orbit(tmp_path)).numpy()
    assert np.abs(shown / 255 - kept).max() < 0.02
    assert model.num_closed == model.num_samples == 1
    # Before anything was drawn there is nothing to keep.
    steps = generate(VIDEO, RunFolder.create(tmp_path / "new"), model)
    next(steps)
    with pytest.raises(EarlyStop):
        steps.throw(EarlyStop())
    assert not RunFolder(tmp_path / "new").done("orbit")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"size": 128}, "makes 64, 32 pixels"), ({"num_frames": 49}, "makes at most 48")],
)
def test_what_the_model_cannot_do_leaves_nothing_behind(
    tmp_path: Path, change: dict[str, int], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        _drive(replace(VIDEO, **change), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_refused_request_replaces_nothing_and_a_possible_one_all(tmp_path: Path) -> None:
    _drive(VIDEO, tmp_path)
    before = _files(tmp_path)

    def overwrite(request: GenerationRequest, model: SphereModel | None) -> list[Progress]:
        return list(generate(request, RunFolder.create(tmp_path), model, overwrite=True))

    with pytest.raises(RequestError, match="makes 64, 32 pixels"):
        overwrite(replace(VIDEO, size=128), SphereModel())
    with pytest.raises(RequestError, match="catalogue"):
        overwrite(replace(VIDEO, model="imagined"), None)
    assert _files(tmp_path) == before
    # The same request is no other one: nothing is made again.
    assert overwrite(VIDEO, SphereModel()) == []
    other = replace(VIDEO, seed=8)
    overwrite(other, SphereModel())
    _drive(other, tmp_path / "alone")
    assert GenerationRequest.from_json((tmp_path / "request.json").read_text()) == other
    assert torch.equal(_frames(tmp_path), _frames(tmp_path / "alone"))


def test_a_video_taken_on_to_the_mesh_says_so_and_is_kept(tmp_path: Path) -> None:
    _drive(VIDEO, tmp_path)
    frames = (tmp_path / "orbit.npz").read_bytes()
    wider = replace(VIDEO, video_only=False)
    steps = generate(wider, RunFolder.create(tmp_path), SphereModel())
    next(steps)
    steps.close()
    assert GenerationRequest.from_json((tmp_path / "request.json").read_text()) == wider
    assert RunFolder(tmp_path).done("orbit")
    assert (tmp_path / "orbit.npz").read_bytes() == frames


def test_the_first_words_say_what_is_known(tmp_path: Path) -> None:
    near = _drive(VIDEO, tmp_path / "near")[0].message
    far = _drive(replace(VIDEO, prompt="a tax return"), tmp_path / "far")[0].message
    assert near == "nearest known things: ball, orange"
    assert far.startswith("Warning: 'a tax return' is far")
    assert "ball, orange" in far


def test_a_stage_draws_from_the_seed_and_its_name_alone() -> None:
    def draw(seed: int, stage: str) -> torch.Tensor:
        return torch.randn(8, generator=stage_generator(seed, stage))

    first = draw(7, "video")
    torch.manual_seed(1)
    assert torch.equal(first, draw(7, "video"))
    others = [draw(8, "video"), draw(7, "reconstruction"), draw(2**32 - 1, "video")]
    assert not any(torch.equal(first, other) for other in others)


def test_the_seeds_stream_is_the_one_that_was_released() -> None:
    """A seed that somebody noted down means the same noise in every later version."""
    generator = stage_generator(7, "video")
    # The first 63 bits of the SHA-256 of "video 7".
    assert generator.initial_seed() == 8201535970304483518


@pytest.mark.slow
def test_a_finished_video_is_taken_on_to_the_mesh_of_what_it_shows(tmp_path: Path) -> None:
    model = SphereModel()
    video = replace(VIDEO, num_frames=16, size=64, max_faces=1000)
    _drive(video, tmp_path, model)
    mesh = replace(video, video_only=False)
    records = _drive(mesh, tmp_path, model)
    assert model.num_samples == 1
    assert model.num_denoised > 0
    stages = [stage for stage, _ in groupby(record.stage for record in records)]
    assert stages == list(STAGES)
    solid = trimesh.load_mesh(tmp_path / "mesh.glb")
    # Joined along the seams, where a vertex stands once for each side.
    places, joined = np.unique(solid.vertices, axis=0, return_inverse=True)
    solid = trimesh.Trimesh(places, joined.ravel()[solid.faces], process=False)
    assert solid.is_volume
    assert solid.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.1)
    # Asked once more, the answer is at hand.
    before = _files(tmp_path)
    assert _drive(mesh, tmp_path, model) == []
    assert _files(tmp_path) == before
