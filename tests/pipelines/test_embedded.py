"""Laws of the embedded model, on small random weights of its own architecture."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipelines.errors import InstallationError, RequestError
from pipelines.models.embedded import EmbeddedModel, EmbeddedSettings
from pipelines.models.known_names import KnownNames
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from pipelines.training.guidance import new_student
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig, fit_linear
from pipelines.video.conditioning import (
    PICTURE_MASK,
    RAY_CHANNELS,
    Conditioning,
    plucker_rays,
)
from pipelines.video.dit import DiT, DiTConfig
from pipelines.video.framing import frame_picture
from pipelines.video.text import TEXT_WIDTH, TextEncoder, _package_folder
from threed.cameras import orbit_cameras
from threed.orbit import OrbitVideo
from threed.progress import finish

SETTINGS = EmbeddedSettings(
    size=32,
    max_frames=16,
    num_steps=3,
    guidance_scale=2.0,
    shift=1.0,
    sampler="euler",
    familiar_similarity=0.6,
)


@pytest.fixture(scope="module")
def text_encoder() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="module")
def model(text_encoder: TextEncoder) -> EmbeddedModel:
    torch.manual_seed(0)
    autoencoder = Autoencoder(
        AutoencoderConfig(latent_channels=4, stride=8, width=16, depth=1, pixel_width=8)
    )
    fit_linear(autoencoder, torch.randn(2000, 7 * 64).clamp(-1, 1))
    transformer = DiT(
        DiTConfig(
            latent_channels=4,
            ray_channels=RAY_CHANNELS,
            text_width=TEXT_WIDTH,
            patch_frames=2,
            patch_size=2,
            width=32,
            depth=2,
            num_heads=2,
            mlp_ratio=2.0,
        )
    )
    for parameter in transformer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    names = ["apple", "wooden chair", "sailing boat"]
    texts = [*names, "a vessel with sails that travels on water", "a seat for one person"]
    known = KnownNames(
        names=names,
        embeddings=text_encoder.encode(texts).pooled,
        owner=torch.tensor([0, 1, 2, 2, 1]),
        words=frozenset([*names, "yacht"]),
        colours=frozenset(["red", "blue", "wooden"]),
    )
    return EmbeddedModel(transformer, autoencoder, text_encoder, SETTINGS, known)


def sample(model: EmbeddedModel, request: GenerationRequest, seed: int = 0) -> OrbitVideo:
    steps = model.sample(request, torch.Generator().manual_seed(seed))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_it_is_a_video_model(model: EmbeddedModel) -> None:
    assert isinstance(model, VideoModel) and model.abilities.sizes == (32,)


def test_guidance_that_the_network_learnt_takes_one_pass_and_other_guidance_two(
    model: EmbeddedModel,
) -> None:
    student = EmbeddedModel(
        new_student(model.transformer, max_guidance=3.0),
        model.autoencoder,
        model.text_encoder,
        model.settings,
        model.known,
    )

    def drawn(by: EmbeddedModel, scale: float) -> torch.Tensor:
        asked = GenerationRequest(prompt="apple", num_frames=8, guidance_scale=scale)
        return finish(by.sample(asked, torch.Generator().manual_seed(0))).albedo

    assert_close(drawn(student, 3.0), drawn(model, 1.0), atol=1e-5, rtol=1e-5)
    assert_close(drawn(student, 3.5), drawn(model, 3.5), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(drawn(model, 3.0), drawn(model, 1.0), atol=1e-3)


def test_the_same_seed_makes_the_same_frames_whatever_ran_before(model: EmbeddedModel) -> None:
    request = GenerationRequest(prompt="a chair", num_frames=8)
    first = sample(model, request)
    sample(model, GenerationRequest(prompt="an apple", num_frames=12), seed=3)
    torch.randn(5)
    again, other = sample(model, request), sample(model, request, seed=1)
    assert torch.equal(first.albedo, again.albedo) and torch.equal(first.alpha, again.alpha)
    assert not torch.equal(first.albedo, other.albedo)


@pytest.mark.parametrize(("num_frames", "size"), [(8, None), (9, None), (8, 48), (8, 40)])
def test_odd_lengths_and_sizes_are_padded_and_cropped(
    model: EmbeddedModel, num_frames: int, size: int | None
) -> None:
    request = GenerationRequest(prompt="a chair", num_frames=num_frames)
    cameras = orbit_cameras(num_frames, size=size or 32)
    steps = model.sample_views(request, cameras, torch.Generator().manual_seed(0))
    seen = 0
    while True:
        try:
            step = next(steps)
            seen += 1
            assert (step.step, step.num_steps) == (seen, 3)
            assert step.preview.cameras.width == cameras.width
        except StopIteration as stop:
            orbit = stop.value
            break
    assert orbit.num_frames == num_frames and orbit.alpha.shape[1:] == (cameras.height,) * 2
    assert_close(orbit.cameras.c2w, cameras.c2w)
    assert seen == 3


def test_the_request_sets_elevation_and_steps(model: EmbeddedModel) -> None:
    request = GenerationRequest(prompt="a chair", num_frames=8, elevation_deg=40.0, num_steps=1)
    orbit = sample(model, request)
    height = orbit.cameras.c2w[:, 1, 3]
    assert_close(height, torch.full_like(height, 3.2 * math.sin(math.radians(40))))


def test_a_closed_sampler_stops(model: EmbeddedModel) -> None:
    steps = model.sample(
        GenerationRequest(prompt="x", num_frames=8), torch.Generator().manual_seed(0)
    )
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_denoising_from_full_noise_forgets_the_clip_and_from_less_does_not(
    model: EmbeddedModel,
) -> None:
    request = GenerationRequest(prompt="a chair", num_frames=9)
    clips = [sample(model, request, seed=seed) for seed in (0, 1)]

    def denoise(clip: OrbitVideo, sigma: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return model.denoise(clip, sigma, request, generator, num_steps=2).albedo

    assert torch.equal(denoise(clips[0], 1.0), denoise(clips[1], 1.0))
    assert not torch.equal(denoise(clips[0], 0.5), denoise(clips[1], 0.5))
    assert torch.equal(denoise(clips[0], 0.5), denoise(clips[0], 0.5))
    assert denoise(clips[0], 0.5).shape == clips[0].albedo.shape


def test_a_picture_is_the_first_frames_reference_as_it_was_in_training(
    model: EmbeddedModel,
) -> None:
    picture = torch.rand(20, 30, 4, generator=torch.Generator().manual_seed(1))
    picture[..., :3] *= picture[..., 3:]
    request = GenerationRequest(prompt="an apple", num_frames=8, elevation_deg=20.0)
    conditions = told(model, request, picture)
    frame = frame_picture(picture, 32)
    channels = torch.cat([2 * frame - 1, torch.zeros(32, 32, 3)], dim=-1)
    expected = model.autoencoder.encode(channels.permute(2, 0, 1)[None, None])[0, 0]
    assert len(conditions) == 3
    for cond in conditions:
        # The picture's half of the batch, and the null condition's: neither picture nor words.
        assert_close(cond.reference[0, 0], expected)
        assert bool((cond.reference_mask[0, 0] == PICTURE_MASK).all())
        assert not cond.reference[0, 1:].any()
        assert not cond.reference_mask[0, 1:].any()
        for part in (cond.reference, cond.reference_mask, cond.text, cond.pooled):
            assert not part[1].any()
        rays = plucker_rays(orbit_cameras(8, size=32, elevation=math.radians(20)), 8)
        assert_close(cond.rays[0], rays)


def test_beside_a_picture_only_words_that_the_model_knows_count(model: EmbeddedModel) -> None:
    picture = torch.ones(20, 30, 4)
    request = GenerationRequest(prompt="a wooden chair", num_frames=8)
    assert told(model, request, picture)[0].pooled[0].any()
    unknown = replace(request, prompt="IMG 2034")
    assert not told(model, unknown, picture)[0].pooled[0].any()
    assert not told(model, unknown, picture)[0].text[0].any()
    assert told(model, unknown, None)[0].pooled[0].any()


def told(
    model: EmbeddedModel, request: GenerationRequest, picture: torch.Tensor | None
) -> list[Conditioning]:
    """Return what the transformer is told at each step."""
    conditions = []
    hook = model.transformer.register_forward_pre_hook(
        lambda module, args: conditions.append(args[2])
    )
    try:
        list(model.sample(request, torch.Generator().manual_seed(0), picture))
    finally:
        hook.remove()
    return conditions


def test_too_long_a_clip_is_refused_with_both_numbers(model: EmbeddedModel) -> None:
    request = GenerationRequest(prompt="a chair", num_frames=24)
    with pytest.raises(RequestError, match=r"24.*16"):
        next(model.sample(request, torch.Generator()))


def test_the_nearest_known_names_and_the_warning(model: EmbeddedModel) -> None:
    nearest = model.nearest_known("a seat made of wood", 2)
    assert nearest[0].name == "wooden chair"
    assert nearest[0].similarity >= nearest[1].similarity
    assert model.familiar("a wooden chair") and not model.familiar("quarterly tax return")


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a wooden chair", None),
        ("the Wooden Chair.", None),
        ("a big red apple on a plate", None),
        ("a blue yacht", None),
        # Nothing known is meant: better as typed than another thing.
        ("quarterly tax return", None),
        ("a ship that the wind drives over the water", "a sailing boat"),
        ("a seat for one", "a wooden chair"),
        ("a blue ship with sails on the water", "a blue sailing boat"),
        # The colour of something else.
        ("a ship with red sails on the water", "a sailing boat"),
    ],
)
def test_a_prompt_in_words_of_its_own_is_drawn_as_the_known_thing_that_it_means(
    model: EmbeddedModel, prompt: str, caption: str | None
) -> None:
    assert model.drawn_as(GenerationRequest(prompt=prompt)) == caption
    assert model.drawn_as(GenerationRequest(prompt=prompt, recaption="none")) is None


@pytest.mark.parametrize(
    ("prompt", "name", "caption"),
    [
        ("a handful of small red stone fruit", "cherries", "cherries"),
        ("pink strips of potato", "fries", "pink fries"),
        ("a blue toadstool", "red mushroom", "a blue mushroom"),
        ("a round citrus fruit", "orange", "an orange"),
    ],
)
def test_a_name_is_a_caption_in_the_prompts_colours(
    model: EmbeddedModel, prompt: str, name: str, caption: str
) -> None:
    known = replace(model.known, colours=frozenset(["red", "pink", "blue", "orange"]))
    assert known.renamed(prompt, name) == caption


def test_beside_a_picture_words_are_taken_as_typed(model: EmbeddedModel) -> None:
    words = "a ship that the wind drives over the water"
    assert model.drawn_as(GenerationRequest(prompt=words)) is not None
    assert model.drawn_as(GenerationRequest(prompt=words, picture="0" * 64)) is None


def test_what_is_drawn_is_the_caption(model: EmbeddedModel) -> None:
    words = "a ship that the wind drives over the water"
    asked = GenerationRequest(prompt=words, num_frames=8, num_steps=1, size=32)
    meant = sample(model, asked)
    named = sample(model, replace(asked, prompt="a sailing boat"))
    typed = sample(model, replace(asked, recaption="none"))
    assert torch.equal(meant.albedo, named.albedo)
    assert not torch.equal(meant.albedo, typed.albedo)


def test_no_words_are_all_zero_and_words_have_unit_embeddings(text_encoder: TextEncoder) -> None:
    embedding = text_encoder.encode(["", "a red chair", "a" + " very" * 200 + " long prompt"])
    assert not embedding.tokens[0].any() and not embedding.pooled[0].any()
    assert_close(embedding.pooled[1:].norm(dim=-1), torch.ones(2))
    assert int(embedding.tokens[1].any(dim=-1).sum()) == 3
    alone = text_encoder.encode(["a red chair"])
    assert_close(alone.tokens[0], embedding.tokens[1], atol=1e-4, rtol=1e-4)


def test_the_sentence_encoder_says_what_the_library_it_stands_for_says(
    text_encoder: TextEncoder,
) -> None:
    from transformers import BertModel, PreTrainedTokenizerFast

    folder = _package_folder()
    prompts = ["", "a red chair", "Ein Stuhl, naïve café 椅子 🪑", "very " * 200 + "long"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
    )
    batch = tokenizer(
        [prompt.lower() for prompt in prompts],
        padding="longest",
        truncation=True,
        max_length=128,
        return_tensors="pt",
    )
    model = BertModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        found = text_encoder.model(batch["input_ids"], batch["attention_mask"])
    mask = batch["attention_mask"][..., None]
    assert_close(found * mask, wanted * mask, atol=1e-4, rtol=1e-4)
    ours = text_encoder.tokenizer.encode_batch([prompt.lower() for prompt in prompts])
    assert [line.ids for line in ours] == batch["input_ids"].tolist()


def test_damaged_text_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="missing"):
        TextEncoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InstallationError, match="damaged"):
        TextEncoder(tmp_path)


def test_missing_or_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="settings"):
        EmbeddedModel.load(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InstallationError, match=r"known\.safetensors"):
        EmbeddedModel.load(tmp_path)
    (tmp_path / "known.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(InstallationError, match="damaged"):
        EmbeddedModel.load(tmp_path)
