"""Tiny random models of the real classes behind `VideoModel`: drawn, cancelled, distilled from."""

import dataclasses
import functools
import json
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh
from huggingface_hub import constants
from torch.testing import assert_close

from pipelines.errors import InstallationError, ReconstructionError, RequestError
from pipelines.generate import generate
from pipelines.models.diffusers_video import DiffusersVideoModel, load_large_model, open_model
from pipelines.models.large import LARGE_MODELS
from pipelines.models.large_card import Canvas, LargeModelCard
from pipelines.models.loading import load_architecture
from pipelines.models.machine import GB, Gpu, Machine
from pipelines.models.on_disk import cache_folder, require_whole
from pipelines.models.projection import solve
from pipelines.models.protocol import VideoModel
from pipelines.models.recaption import NEGATIVE, TEMPLATES, accepted, turntable_prompt
from pipelines.request import GenerationRequest
from tests.pipelines.models import tiny
from tests.pipelines.models.test_turntable import ball_picture, marked_ball
from threed.background import CUTTING
from threed.distillation import DistillationConfig
from threed.fit import FitConfig
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.progress import EarlyStop
from threed.reconstruct import ReconstructionSettings, reconstruct
from threed.run_folder import RunFolder

COMMIT = "c0ffee" + "0" * 34
ARCHITECTURES = sorted({card.architecture for card in LARGE_MODELS})
REQUEST = GenerationRequest(prompt="a ball", num_frames=8, num_steps=2, num_tries=2)
SIDE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Generator[None, None, None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def _cache() -> Path:
    return Path(tempfile.mkdtemp(prefix="hub"))


@pytest.fixture(autouse=True)
def _tiny_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(_cache()))


def card_of(architecture: str) -> LargeModelCard:
    """Return the catalogue's card for a family, its sizes those of a tiny pipeline."""
    card = next(card for card in LARGE_MODELS if card.architecture == architecture)
    width = 2 * SIDE if card.cameras else SIDE
    canvas = Canvas(width=width, height=SIDE)
    return dataclasses.replace(card, canvases=(canvas,), turn_frames=17, frame_step=8)


def on_disk(architecture: str) -> LargeModelCard:
    """Return a card whose tiny weights lie in the cache as a download leaves them."""
    card = card_of(architecture)
    folder = cache_folder(card)
    if not folder.exists():
        tiny.save(architecture, folder / "snapshots" / COMMIT)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
    return card


@functools.cache
def model_of(architecture: str) -> DiffusersVideoModel:
    card = on_disk(architecture)
    model = open_model(card, require_whole(card), "resident", "cpu", torch.float32)
    if card.cameras:
        # The image model is another network; here its picture is a drawn one.
        model.first_picture = lambda request: ball_picture()  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_family_draws_with_progress_and_previews(architecture: str) -> None:
    model = model_of(architecture)
    assert isinstance(model, VideoModel)
    tries = 1 if model.card.cameras else 2
    steps = model.sample(REQUEST, torch.Generator().manual_seed(7))
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            orbit = finished.value
            break
    drawn = [step for step in seen if not step.doing]
    assert [step.step for step in drawn] == list(range(1, 2 * tries + 1))
    assert {step.num_steps for step in seen} == {2 * tries}
    for step in seen:
        assert step.preview.albedo.isfinite().all()
        assert step.preview.albedo.std() > 0
    assert orbit.num_frames == REQUEST.num_frames
    # What random weights draw is no orbit, and nobody calls it one.
    assert orbit.kind == "clip"
    assert "background" in model.provenance["found"]
    assert model.provenance["commit"] == COMMIT
    again = model.sample(REQUEST, torch.Generator().manual_seed(7))
    first = next(again)
    again.close()
    assert_close(first.preview.albedo, seen[0].preview.albedo)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_closing_a_run_stops_it_within_a_step(architecture: str) -> None:
    model = model_of(architecture)
    calls = []
    hook = model.architecture.transformer.register_forward_hook(lambda *_: calls.append(1))
    try:
        steps = model.sample(REQUEST, torch.Generator().manual_seed(7))
        next(steps)
        # Two passes a step: with the words and without.
        assert len(calls) == 2
        steps.close()
        assert len(calls) == 2
    finally:
        hook.remove()


def test_a_run_that_is_stopped_says_nothing_of_the_run_before_it() -> None:
    """The model stays warm between jobs, and what it found is asked of it after each."""
    model = model_of("wan")
    list(model.sample(REQUEST, torch.Generator().manual_seed(7)))
    assert {"found", "prompt"} <= model.findings.keys()
    # The same wish again too: its encoded words are no findings of this run.
    for request in (dataclasses.replace(REQUEST, prompt="a box"), REQUEST):
        steps = model.sample(request, torch.Generator().manual_seed(7))
        next(steps)
        steps.close()
        assert model.findings.keys() == {"prompt", "negative_prompt"}
        assert request.prompt in model.findings["prompt"]


LIGHT = ReconstructionSettings(
    max_faces=1000,
    texture_size=128,
    fit=FitConfig(num_steps=40),
    distillation=DistillationConfig(num_rounds=1, steps_a_round=6),
)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_family_is_a_critic_from_orbit_to_mesh(architecture: str, tmp_path: Path) -> None:
    """What random weights draw is no orbit, so this starts from the orbit of a drawn ball."""
    model = model_of(architecture)
    calls = []
    hook = model.architecture.transformer.register_forward_hook(lambda *_: calls.append(1))

    def denoise(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        return model.denoise(clip, sigma, REQUEST, generator, num_steps=1)

    steps = reconstruct(
        marked_ball(12, 32),
        RunFolder.create(tmp_path),
        LIGHT,
        denoise,
        torch.Generator().manual_seed(0),
    )
    try:
        stages = {progress.stage for progress in steps}
    finally:
        hook.remove()
    assert {"field", "distillation", "mesh", "texture", "report"} <= stages
    assert calls
    _check_ball(tmp_path)


def _check_ball(folder: Path) -> None:
    solid = trimesh.load_mesh(folder / "mesh.glb")
    assert len(solid.faces) > 100
    extents = solid.bounds[1] - solid.bounds[0]
    assert_close(torch.from_numpy(extents), torch.full((3,), 1.2).double(), atol=0.3, rtol=0)


@pytest.mark.slow
def test_a_run_on_a_large_model_goes_on_from_its_orbit_to_the_mesh(tmp_path: Path) -> None:
    model = model_of("wan")
    request = dataclasses.replace(
        REQUEST, model=model.card.name, num_frames=12, max_faces=1000, texture_size=512
    )
    run = RunFolder.create(tmp_path)
    first = generate(dataclasses.replace(request, video_only=True), run, model)
    next(first)
    first.close()
    with run.stage("orbit") as temporary:
        write_orbit(temporary, marked_ball(12, 32), "")
    stages = {progress.stage for progress in generate(request, run, model)}
    assert {"field", "distillation", "mesh", "texture", "report"} <= stages
    _check_ball(tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_little_noise_changes_less_than_much(architecture: str) -> None:
    model = model_of(architecture)
    clean = marked_ball(8, 48)

    def estimate(sigma: float) -> OrbitVideo:
        generator = torch.Generator().manual_seed(3)
        return model.denoise(clean, sigma, REQUEST, generator, num_steps=2)

    near, far = estimate(0.02), estimate(0.9)
    assert near.albedo.shape == clean.albedo.shape
    assert_close(near.alpha, clean.alpha)
    assert bool((near.albedo <= near.alpha[..., None] + 1e-6).all())
    assert not torch.equal(near.albedo, far.albedo)
    assert_close(estimate(0.02).albedo, near.albedo)
    with pytest.raises(ValueError, match="sigma is 0"):
        model.denoise(clean, 0.0, REQUEST, torch.Generator(), 1)


def test_a_clip_that_is_no_turn_makes_no_mesh_and_says_why(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    request = dataclasses.replace(REQUEST, model=model_of("wan").card.name, num_tries=1)
    with pytest.raises(ReconstructionError, match="no turn about one object: .*background"):
        list(generate(request, run, model_of("wan")))
    assert read_orbit(run.path).kind == "clip"
    made = json.loads((tmp_path / "request.json").read_text())["made_with"]["model"]
    assert made["name"] == request.model


def test_the_search_for_the_cameras_is_told_of_as_what_follows_the_last_step() -> None:
    model = model_of("wan")
    steps = list(model.sample(REQUEST, torch.Generator().manual_seed(7)))
    searching = [step for step in steps if step.doing]
    # Of two tries of two steps each.
    assert {step.step for step in searching} == {2, 4}
    assert {step.doing for step in searching} == {CUTTING}


@pytest.mark.parametrize(("step", "doing"), [(2, CUTTING), (3, "")])
def test_who_stops_after_a_clip_is_drawn_keeps_its_frames(
    tmp_path: Path, step: int, doing: str
) -> None:
    """While its cameras are looked for, and while the next try is drawn."""
    request = dataclasses.replace(REQUEST, model=model_of("wan").card.name)
    whole = RunFolder.create(tmp_path / "whole")
    alone = dataclasses.replace(request, num_tries=1, video_only=True)
    list(generate(alone, whole, model_of("wan")))
    run = RunFolder.create(tmp_path / "stopped")
    steps = generate(request, run, model_of("wan"))
    for progress in steps:
        if (progress.step, progress.num_steps) == (step, 4) and doing in progress.message:
            break
    with pytest.raises(EarlyStop):
        steps.throw(EarlyStop())
    kept, first = read_orbit(run.path), read_orbit(whole.path)
    assert_close(kept.albedo, first.albedo)


def test_colours_of_a_linear_encoder_are_found_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand((500, 3), generator=generator).double()
    mixing = torch.randn((3, 8), generator=generator).double()
    projection = solve(colours @ mixing + 0.3, colours)
    latents = (colours @ mixing + 0.3).float().T.reshape(1, 8, 5, 10, 10)
    shown = projection(latents).reshape(-1, 3)
    assert_close(shown, colours.float(), atol=0.02, rtol=0)


def test_prompts_describe_a_turntable_in_each_style() -> None:
    for style in TEMPLATES:
        prompt = turntable_prompt("a {red} chair.", style, 15.4)
        assert "a {red} chair" in prompt
        assert "chair.." not in prompt
        assert "grey background" in prompt or "light grey" in prompt
        assert "{" not in prompt.replace("{red}", "")
    assert "15 degrees" in turntable_prompt("a chair", "prose", 15.4)
    assert "cropped" in NEGATIVE


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ('"A tall red chair with oak legs. It stands alone."', "A tall red chair with oak legs"),
        ("I cannot help with that", "a red chair"),
        ("", "a red chair"),
        ("A blue whale", "a red chair"),
    ],
)
def test_an_answer_that_lost_the_wish_is_not_taken(answer: str, kept: str) -> None:
    assert accepted(answer, "a red chair") == kept


def test_code_in_a_repository_is_refused(tmp_path: Path) -> None:
    folder = tiny.save("wan", tmp_path / "wan")
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["my_module", "MyTransformer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "transformer" / "my_module.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InstallationError, match="its own code for transformer .*never run"):
        load_architecture("wan", folder, "resident", "cpu", torch.float32)
    with pytest.raises(InstallationError, match="model_index.json is missing or damaged"):
        load_architecture("wan", tmp_path / "nothing", "resident", "cpu")


def test_pickled_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny.save("wan", tmp_path / "wan")
    weights = next((folder / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InstallationError, match="cannot be loaded as WanPipeline"):
        load_architecture("wan", folder, "resident", "cpu", torch.float32)
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(InstallationError, match="cannot be loaded as WanPipeline"):
        load_architecture("wan", folder, "resident", "cpu", torch.float32)


def test_without_a_gpu_loading_names_what_else_to_do() -> None:
    card = on_disk("wan")
    none = Machine(gpus=(), ram=64 * GB)
    with pytest.raises(RequestError, match="this machine has none; choose 'embedded'"):
        load_large_model(card, "cpu", machine=none)
    gpu = Gpu(name="Card X", memory=80 * GB, free=80 * GB, capability=(9, 0))
    with pytest.raises(RequestError, match="this machine has none"):
        load_large_model(card, "cpu", machine=Machine(gpus=(gpu,), ram=256 * GB))
