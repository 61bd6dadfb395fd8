"""The models that help: an image model draws SANA-WM's first picture, a language model enlarges."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from pipelines.errors import InstallationError
from pipelines.models import diffusers_video
from pipelines.models.diffusers_video import DiffusersVideoModel, open_model
from pipelines.models.helpers import draw_picture, enlarge_wish
from pipelines.models.large import LARGE_MODELS, find_helper
from pipelines.models.large_card import Canvas, HelperCard, LargeModelCard
from pipelines.models.on_disk import cache_folder, require_whole
from pipelines.models.turntable import BACKGROUND, framed, matted, to_canvas, turn_cameras
from pipelines.request import GenerationRequest
from tests.pipelines.models import tiny
from tests.pipelines.models.tiny_words import CHARACTERS, CHAT
from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import orbit_cameras

COMMIT = "c0ffee" + "0" * 34
TEACHING = 160
SIDE = 64
IMAGE, LANGUAGE = find_helper("z-image-turbo"), find_helper("qwen2.5-1.5b-instruct")
ANSWER = "a tall red chair with oak legs"


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def z_image() -> Any:
    vocab = {name: index for index, name in enumerate(["<|endoftext|>", *CHARACTERS])}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.chat_template = CHAT
    qwen = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return diffusers.ZImagePipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.Qwen3Model(qwen),
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(16, 16, 16, 16),
            layers_per_block=1,
            latent_channels=16,
            norm_num_groups=4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
        transformer=diffusers.ZImageTransformer2DModel(
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[4, 6, 6],
            axes_lens=[1024, 64, 64],
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def ball() -> Tensor:
    orbit = draw_sphere(orbit_cameras(1, size=SIDE), torch.tensor([0.8, 0.3, 0.1]))
    return (orbit.albedo + BACKGROUND * (1 - orbit.alpha[..., None]))[0]


def teach_a_ball(vae: Any) -> None:
    """Let a decoder learn to draw one ball of whatever latents it is given."""
    target = 2 * ball().permute(2, 0, 1)[None] - 1
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(vae.decoder.parameters(), lr=5e-3)
    for _ in range(TEACHING):
        latents = torch.randn(1, 16, SIDE // 8, SIDE // 8, generator=generator)
        drawn = vae.decode(latents, return_dict=False)[0]
        loss = F.mse_loss(drawn, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def save(card: HelperCard | LargeModelCard, model: Any) -> Path:
    """Save a model into the cache as a download leaves it."""
    folder = cache_folder(card)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    model.save_pretrained(folder / "snapshots" / COMMIT, safe_serialization=True)
    return folder / "snapshots" / COMMIT


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(autouse=True)
def _in_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


@pytest.fixture(scope="module")
def image_model(cache: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        torch.manual_seed(0)
        pipeline = z_image()
        teach_a_ball(pipeline.vae)
        return save(IMAGE, pipeline)


def draw(folder: Path, prompt: str = "a ball", seed: int = 3) -> np.ndarray:
    return draw_picture(IMAGE, folder, prompt, SIDE, seed, "staged", "cpu", torch.float32)


def test_the_picture_is_the_one_that_diffusers_own_pipeline_draws(image_model: Path) -> None:
    drawn = draw(image_model)
    assert drawn.shape == (SIDE, SIDE, 3)
    pipeline: Any = diffusers.ZImagePipeline.from_pretrained(image_model)
    pipeline.set_progress_bar_config(disable=True)
    (plain,) = pipeline(
        "a ball",
        height=SIDE,
        width=SIDE,
        num_inference_steps=IMAGE.num_steps,
        guidance_scale=IMAGE.guidance_scale,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images
    assert np.abs(drawn / 255.0 - plain).max() < 1 / 255
    assert np.array_equal(drawn, draw(image_model))
    assert not np.array_equal(drawn, draw(image_model, seed=4))
    assert not np.array_equal(drawn, draw(image_model, prompt="a red chair"))


def test_a_pickled_image_model_is_not_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    z_image().save_pretrained(tmp_path, safe_serialization=True)
    for file in (tmp_path / "transformer").glob("*.safetensors"):
        torch.save({}, file.with_suffix(".bin"))
        file.unlink()
    with pytest.raises(InstallationError, match="the image model 'z-image-turbo' cannot be loaded"):
        draw(tmp_path)


def sana_wm() -> DiffusersVideoModel:
    card = next(card for card in LARGE_MODELS if card.architecture == "sana_wm")
    card = dataclasses.replace(
        card, canvases=(Canvas(width=64, height=32),), turn_frames=17, frame_step=8
    )
    if not cache_folder(card).exists():
        torch.manual_seed(0)
        save(card, tiny.BUILDERS["sana_wm"]())
    return open_model(card, require_whole(card), "resident", "cpu", torch.float32)


def test_the_first_picture_reaches_the_model_that_needs_one_and_stays(
    image_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusers_video, "PICTURE_SIDE", SIDE)
    model = sana_wm()
    request = GenerationRequest(prompt="a ball", model="sana-wm", num_frames=8, num_steps=2)
    picture = model.first_picture(request)
    # What was learnt is what is drawn.
    assert np.abs(picture / 255.0 - ball().numpy()).mean() < 0.05
    states = []
    hook = model.architecture.transformer.register_forward_pre_hook(
        lambda module, args: states.append(args[0].clone())
    )
    try:
        steps = model.sample(request, torch.Generator().manual_seed(7))
        next(steps)
        steps.close()
    finally:
        hook.remove()
    placed = to_canvas(framed(matted(picture), turn_cameras(17, 32, request.elevation_deg)), 64, 32)
    first = model.architecture.encode(placed)
    assert states
    for state in states:
        assert_close(state[:, :, :1].float(), first)
    assert model.provenance["image_model"] == f"{IMAGE.repository} at {COMMIT}"


def test_a_visitors_picture_takes_the_place_of_the_drawn_one(
    image_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusers_video, "PICTURE_SIDE", SIDE)
    model = sana_wm()
    # The model is warm: the run before this had its picture drawn.
    model.first_picture(GenerationRequest(prompt="a ball", model="sana-wm", num_frames=8))
    assert "image_model" in model.provenance
    # No image model is asked for, so none has to be there.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    request = GenerationRequest(prompt="a ball", model="sana-wm", num_frames=8, num_steps=2)
    picture = matted((ball().numpy() * 255).round().astype(np.uint8))
    states = []
    hook = model.architecture.transformer.register_forward_pre_hook(
        lambda module, args: states.append(args[0].clone())
    )
    try:
        steps = model.sample(request, torch.Generator().manual_seed(7), picture)
        next(steps)
        steps.close()
    finally:
        hook.remove()
    placed = to_canvas(framed(picture, turn_cameras(17, 32, request.elevation_deg)), 64, 32)
    first = model.architecture.encode(placed)
    assert states
    for state in states:
        assert_close(state[:, :, :1].float(), first)
    assert "image_model" not in model.provenance


def test_without_its_image_model_it_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sana_wm()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    request = GenerationRequest(prompt="a ball", model="sana-wm", num_frames=8)
    with pytest.raises(InstallationError, match="'z-image-turbo' is not on disk; fetch it with"):
        next(model.sample(request, torch.Generator()))


def language_model(folder: Path, answer: str) -> Path:
    """Save a causal language model whose every word calls up the next of its one answer."""
    first, *others = answer.split()
    said = [first, *(f"Ġ{word}" for word in others), "<|endoftext|>"]
    words = ["<|endoftext|>", "Ġ", *CHARACTERS[1:], *said[1:-1]]
    vocab = {word: index for index, word in enumerate(words)}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.chat_template = CHAT
    config = transformers.Qwen2Config(
        vocab_size=len(words),
        hidden_size=len(words) + len(words) % 2,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=False,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = transformers.Qwen2ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(model.model.norm.weight)
    with torch.no_grad():
        # Word i is the i-th unit vector, and the head points from it to the word that follows.
        model.model.embed_tokens.weight[: len(words), : len(words)] = torch.eye(len(words))
        model.lm_head.weight[vocab[first]] = 0.5  # after all that is no part of the answer
        for word, following in itertools.pairwise(said):
            model.lm_head.weight[vocab[following], vocab[word]] = 1.0
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_wish_is_enlarged_by_what_the_language_model_answers(tmp_path: Path) -> None:
    folder = language_model(tmp_path, ANSWER)
    assert enlarge_wish(LANGUAGE, folder, "a red chair", "cpu") == ANSWER
    # An answer that speaks of something else is thrown away.
    assert enlarge_wish(LANGUAGE, folder, "a blue whale.", "cpu") == "a blue whale"


def test_a_pickled_language_model_is_not_read(tmp_path: Path) -> None:
    folder = language_model(tmp_path, ANSWER)
    (weights,) = folder.glob("*.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(InstallationError, match="the language model .* cannot be loaded"):
        enlarge_wish(LANGUAGE, folder, "a red chair", "cpu")


def test_the_enlarged_wish_is_what_the_video_model_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = next(card for card in LARGE_MODELS if card.name == "wan2.1-t2v-1.3b")
    card = dataclasses.replace(
        card, canvases=(Canvas(width=32, height=32),), turn_frames=17, frame_step=8
    )
    torch.manual_seed(0)
    save(card, tiny.BUILDERS["wan"]())
    folder = cache_folder(LANGUAGE)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    language_model(folder / "snapshots" / COMMIT, ANSWER)
    model = open_model(card, require_whole(card), "resident", "cpu", torch.float32)
    request = GenerationRequest(
        prompt="a red chair", model=card.name, num_frames=8, num_steps=2, recaption=LANGUAGE.name
    )
    steps = model.sample(request, torch.Generator().manual_seed(7))
    next(steps)
    steps.close()
    assert f"A turntable video of {ANSWER}." in model.provenance["prompt"]
