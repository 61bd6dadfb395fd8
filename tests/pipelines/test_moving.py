"""Videos that are no orbits: how they are asked for and drawn, and that no mesh is made of them."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from pipelines.closed import UNEXPLAINED, why_closed
from pipelines.errors import ReconstructionError, RequestError
from pipelines.generate import familiarity_message, generate
from pipelines.models.embedded import EmbeddedModel
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.models.protocol import SamplerStep
from pipelines.request import CAMERAS, ORBITS, GenerationRequest
from pipelines.run_request import check_folder
from pipelines.video.camera_paths import path_cameras
from tests.pipelines.sphere_model import SphereModel
from tests.pipelines.test_embedded import SETTINGS, model, text_encoder
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit
from threed.progress import EarlyStop
from threed.run_folder import RunFolder

__all__ = ["model", "text_encoder"]

SPINNING = GenerationRequest(
    prompt="a spinning apple", num_frames=8, num_steps=1, size=32, video_only=True
)
MOVES = [name for name in CAMERAS if name not in ORBITS]


@pytest.fixture(scope="module")
def mover(model: EmbeddedModel) -> EmbeddedModel:
    """Small random weights that say that they have learnt to follow cameras and motion."""
    settings = replace(SETTINGS, moves=True)
    return EmbeddedModel(
        model.transformer, model.autoencoder, model.text_encoder, settings, model.known
    )


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue's own weights say so too."""
    monkeypatch.setattr(EmbeddedCard, "moves", True)


def drawn(by: EmbeddedModel, request: GenerationRequest) -> tuple[OrbitVideo, list[OrbitVideo]]:
    steps, previews = by.sample(request, torch.Generator().manual_seed(0)), []
    while True:
        try:
            previews.append(next(steps).preview)
        except StopIteration as stop:
            return stop.value, previews


@pytest.mark.parametrize(
    ("prompt", "changes", "caption"),
    [
        ("a spinning apple", {}, "an apple spinning"),
        ("an apple spinning", {}, None),
        ("a big red apple that bounces up and down", {}, "a big red apple bouncing"),
        ("a ship that the wind drives over the water", {}, "a sailing boat moving past"),
        # Another camera moves too; one that goes around stands before a still thing.
        ("a spinning apple", {"camera": "zoom-in"}, "an apple spinning"),
        ("a spinning apple", {"camera": "orbit"}, "an apple"),
        # Nothing moves in a mesh.
        ("a spinning apple", {"video_only": False}, "an apple"),
        (
            "a blue ship with sails on the water, spinning",
            {"video_only": False},
            "a blue sailing boat",
        ),
        # As typed.
        ("an apple", {}, None),
        ("a spinning apple", {"recaption": "none"}, None),
        ("a spinning apple", {"recaption": "none", "video_only": False}, None),
        ("a spinning apple", {"picture": "0" * 64}, None),
    ],
)
def test_a_thing_that_moves_is_named_and_put_into_the_words_that_were_taught(
    mover: EmbeddedModel, prompt: str, changes: dict[str, object], caption: str | None
) -> None:
    asked = replace(SPINNING, prompt=prompt, **changes)
    assert mover.drawn_as(asked) == caption


def test_weights_that_have_not_learnt_it_are_asked_as_before(model: EmbeddedModel) -> None:
    assert model.drawn_as(SPINNING) is None
    orbit, _ = drawn(model, SPINNING)
    assert orbit.kind == "orbit"
    assert_close(orbit.cameras.c2w, drawn(model, replace(SPINNING, prompt="a"))[0].cameras.c2w)
    assert not model.abilities.moves


def test_a_thing_is_as_familiar_when_it_moves(mover: EmbeddedModel) -> None:
    moving = "a wooden chair jumping up and down"
    assert mover.nearest_known(moving, 3) == mover.nearest_known("a wooden chair", 3)
    assert mover.familiar(moving)
    mesh = replace(SPINNING, video_only=False)
    told = familiarity_message(mesh.prompt, mover.drawn_as(mesh), mover)
    assert told.startswith("drawn as 'an apple'; nearest known things: apple")


def test_what_moves_is_drawn_as_its_caption_with_a_still_camera(mover: EmbeddedModel) -> None:
    clip, previews = drawn(mover, SPINNING)
    same, _ = drawn(mover, replace(SPINNING, prompt="an apple spinning", camera="still"))
    typed, _ = drawn(mover, replace(SPINNING, recaption="none"))
    still, _ = drawn(mover, replace(SPINNING, prompt="an apple", camera="still"))
    assert torch.equal(clip.albedo, same.albedo)
    assert not torch.equal(clip.albedo, typed.albedo)
    assert not torch.equal(clip.albedo, still.albedo)
    assert {each.kind for each in (clip, *previews, typed, still)} == {"clip"}
    assert_close(clip.cameras.c2w, clip.cameras.c2w[:1].expand(8, -1, -1))


@pytest.mark.parametrize("camera", [name for name in CAMERAS if name != "auto"])
def test_the_video_is_drawn_from_the_path_that_was_asked_for(
    mover: EmbeddedModel, camera: str
) -> None:
    asked = replace(SPINNING, prompt="an apple", camera=camera, elevation_deg=20.0)
    clip, previews = drawn(mover, asked)
    path = path_cameras(camera, 8, size=32, elevation=np.radians(20.0))
    assert_close(clip.cameras.c2w, path.c2w)
    assert_close(clip.cameras.fov_y, path.fov_y)
    kind = "orbit" if camera == "orbit" else "clip"
    assert {each.kind for each in (clip, *previews)} == {kind}
    assert bool(mover.findings) is (kind == "clip")


def test_a_mesh_is_asked_for_as_if_the_words_for_motion_were_not_there(
    mover: EmbeddedModel,
) -> None:
    mesh, _ = drawn(mover, replace(SPINNING, video_only=False))
    still, _ = drawn(mover, replace(SPINNING, prompt="an apple", video_only=False))
    around, _ = drawn(mover, replace(SPINNING, camera="orbit"))
    assert mesh.kind == around.kind == "orbit"
    assert torch.equal(mesh.albedo, still.albedo)
    assert torch.equal(mesh.albedo, around.albedo)


@pytest.mark.parametrize("camera", MOVES)
def test_a_model_that_cannot_follow_draws_nothing(tmp_path: Path, camera: str) -> None:
    sphere = SphereModel()
    asked = replace(SPINNING, prompt="a ball", camera=camera)
    with pytest.raises(RequestError, match=f"camera is '{camera}'; .* follows the orbit's alone"):
        list(generate(asked, RunFolder.create(tmp_path / "new"), sphere))
    assert sphere.num_samples == 0
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("learnt")
def test_a_video_of_what_moves_ends_there_and_says_why(
    mover: EmbeddedModel, tmp_path: Path
) -> None:
    with RunFolder.create(tmp_path) as folder:
        records = list(generate(SPINNING, folder, mover))
        assert records[-1].message.startswith("drawing the video, step")
        assert read_orbit(tmp_path).kind == "clip"
        closed = why_closed(tmp_path)
        assert closed is not None
        assert (closed.camera, closed.motion) == ("still", "spin")
        assert closed.found in closed.words()
        assert "camera 'orbit'" in closed.words()
        # Asked again it is at hand, and a mesh, or another camera, is another request.
        assert list(generate(SPINNING, folder, mover)) == []
        for other in (replace(SPINNING, video_only=False), replace(SPINNING, camera="arc")):
            with pytest.raises(RequestError, match=r"camera is 'still \(spin\)' there"):
                list(generate(other, folder, mover))
        # To say what is chosen anyway is none.
        check_folder(replace(SPINNING, camera="still"), folder)


@pytest.mark.usefixtures("learnt")
def test_an_orbit_goes_on_to_the_mesh_whoever_chose_it(
    mover: EmbeddedModel, tmp_path: Path
) -> None:
    around = replace(SPINNING, camera="orbit")
    with RunFolder.create(tmp_path) as folder:
        list(generate(around, folder, mover))
        assert why_closed(tmp_path) is None
        check_folder(replace(around, video_only=False), folder)
        check_folder(replace(SPINNING, video_only=False), folder)
        with pytest.raises(
            RequestError, match=r"camera is 'orbit' there and 'still \(spin\)' here"
        ):
            check_folder(SPINNING, folder)


@pytest.mark.usefixtures("learnt")
def test_what_earlier_weights_drew_as_an_orbit_may_still_be_built(
    model: EmbeddedModel, tmp_path: Path
) -> None:
    with RunFolder.create(tmp_path) as folder:
        list(generate(SPINNING, folder, model))
        assert why_closed(tmp_path) is None
        check_folder(SPINNING, folder)
        check_folder(replace(SPINNING, video_only=False), folder)


def test_a_clip_that_was_stopped_early_is_one(mover: EmbeddedModel, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder:
        steps = generate(replace(SPINNING, num_steps=3), folder, mover)
        for _ in range(2):
            next(steps)
        with pytest.raises(EarlyStop):
            steps.throw(EarlyStop())
    closed = why_closed(tmp_path)
    assert closed is not None
    assert closed.motion == "spin"


class Strayed(SphereModel):
    """Asked for an orbit, it draws something else, and does not say why."""

    def sample(
        self, request: GenerationRequest, generator: torch.Generator
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        orbit = yield from super().sample(request, generator)
        return replace(orbit, kind="clip")


def test_a_clip_that_should_have_been_an_orbit_fails_the_same_way_each_time(
    tmp_path: Path,
) -> None:
    request = replace(SPINNING, prompt="a ball", video_only=False)
    sphere = Strayed()
    with RunFolder.create(tmp_path) as folder:
        for _ in range(2):
            with pytest.raises(ReconstructionError, match=f"no turn about .*: {UNEXPLAINED}"):
                list(generate(request, folder, sphere))
            assert sphere.num_samples == 1
            assert folder.done("orbit")


def test_what_cannot_be_read_closes_nothing(tmp_path: Path) -> None:
    assert why_closed(tmp_path) is None
    for data in (b"", b"no archive", b"PK\3\4" + bytes(40)):
        (tmp_path / "orbit.npz").write_bytes(data)
        assert why_closed(tmp_path) is None
    np.savez(tmp_path / "orbit.npz", kind=np.array("clip"))
    closed = why_closed(tmp_path)
    assert closed is not None
    assert (closed.found, closed.camera, closed.motion) == (UNEXPLAINED, None, None)
