"""Laws of guidance that a network learns to give in one pass."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pipelines.training.clips import draw_batch
from pipelines.training.guidance import GuidanceTeacher, new_student, without_guidance
from pipelines.training.transformer import (
    TransformerTraining,
    export_average,
    train_transformer,
)
from pipelines.video.checkpoint import load_transformer, save_model
from pipelines.video.conditioning import Conditioning
from pipelines.video.diffusion import guide
from pipelines.video.dit import DiT
from tests.pipelines.training.small_bank import CLIPS, CONFIG, make_bank

CONFIGURED = TransformerTraining(num_steps=200, batch_frames=64, learning_rate=3e-3)


@pytest.fixture(scope="module")
def teacher() -> DiT:
    """Return a network that answers differently with and without words."""
    torch.manual_seed(0)
    model = DiT(CONFIG)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_inputs() -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(3)
    clean, cond = draw_batch(make_bank(), replace(CLIPS, drop_text=0.0), 64, generator)
    return torch.randn(clean.shape, generator=generator), torch.full((len(clean),), 0.9), cond


def test_a_new_student_answers_as_its_teacher_whatever_guidance_it_is_told(teacher: DiT) -> None:
    x, sigma, cond = make_inputs()
    student = new_student(teacher).eval()
    for scale in (1.0, 3.0):
        told = replace(cond, guidance=torch.full((len(x),), scale))
        assert_close(student(x, sigma, told), teacher(x, sigma, cond), atol=0, rtol=0)


def test_training_may_go_on_from_weights_that_have_learnt_guidance(teacher: DiT) -> None:
    x, sigma, cond = make_inputs()
    torch.manual_seed(2)
    student = new_student(teacher).eval()
    for parameter in student.guidance_in.parameters():
        torch.nn.init.normal_(parameter)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    plain = without_guidance(student).eval()
    assert plain.config == CONFIG
    assert_close(plain(x, sigma, cond), student(x, sigma, cond), atol=1e-4, rtol=1e-4)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_teacher_shows_its_guided_answers_and_tells_how_strong_they_are(teacher: DiT) -> None:
    x, sigma, cond = make_inputs()
    generator = torch.Generator().manual_seed(0)
    shown = GuidanceTeacher(transformer=teacher, max_guidance=3.0)
    answer, told = shown.answer(x, sigma, cond, generator)
    assert bool((told.guidance >= 1).all()) and bool((told.guidance <= 3).all())
    assert float(told.guidance.std()) > 0.1
    for clip, scale in enumerate(told.guidance.tolist()):
        wanted = guide(teacher(x, sigma, cond), teacher(x, sigma, cond.null()), scale)
        assert_close(answer[clip], wanted[clip], atol=1e-5, rtol=1e-5)


def test_a_student_learns_to_give_the_guidance_that_it_is_told(
    teacher: DiT, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    student, state = new_student(teacher), tmp_path / "state.safetensors"
    shown = GuidanceTeacher(transformer=teacher)
    for _ in train_transformer(
        student, make_bank(), CONFIGURED, CLIPS, state, teacher=shown, seed=0
    ):
        pass
    # What ships is the average of the weights, in half precision.
    export_average(state, CONFIG, tmp_path / "model.safetensors")
    shipped = load_transformer(tmp_path / "model.safetensors")
    assert shipped.config == replace(CONFIG, max_guidance=shown.max_guidance)
    x, sigma, cond = make_inputs()
    with torch.no_grad():
        alone, null = teacher(x, sigma, cond), teacher(x, sigma, cond.null())
        for scale in (2.0, 3.5):
            wanted = guide(alone, null, scale)
            told = replace(cond, guidance=torch.full((len(x),), scale))
            missed = (shipped(x, sigma, told) - wanted).square().mean()
            assert missed < 0.3 * (alone - wanted).square().mean(), scale


def test_only_weights_that_learnt_the_same_guidance_can_be_mixed(
    teacher: DiT, tmp_path: Path
) -> None:
    save_model(teacher, tmp_path / "teacher.safetensors", torch.float32)
    save_model(new_student(teacher), tmp_path / "student.safetensors", torch.float32)
    with pytest.raises(ValueError, match="another network"):
        export_average(
            tmp_path / "student.safetensors",
            CONFIG,
            tmp_path / "out.safetensors",
            tmp_path / "teacher.safetensors",
            0.5,
        )
