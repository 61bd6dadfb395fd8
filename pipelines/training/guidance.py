"""Guidance learnt: one pass of a network to what two passes of its teacher give together."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.video.conditioning import Conditioning
from pipelines.video.diffusion import guide
from pipelines.video.dit import DiT

# The strongest that is learnt; a request for more takes two passes.
MAX_GUIDANCE = 4.0


@dataclass(frozen=True, kw_only=True)
class GuidanceTeacher:
    """A trained network that shows how guidance would answer.

    Meng et al., "On Distillation of Guided Diffusion Models", section 3.1: the student is told the
    guidance's strength, drawn anew for every clip.
    """

    transformer: DiT
    max_guidance: float = MAX_GUIDANCE

    @torch.no_grad()
    def answer(
        self,
        noisy: Float[Tensor, "batch frame channel height width"],
        sigma: Float[Tensor, " batch"],
        cond: Conditioning,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch frame channel height width"], Conditioning]:
        """Return guided clean estimates, and the condition that tells the student how strongly."""
        part = torch.rand(len(noisy), generator=generator, device=noisy.device)
        scale = 1 + (self.max_guidance - 1) * part
        clips, levels = torch.cat([noisy, noisy]), torch.cat([sigma, sigma])
        answers = self.transformer(clips, levels, Conditioning.stack(cond, cond.null())).float()
        with_cond, without = answers.chunk(2)
        guided = guide(with_cond, without, scale[:, None, None, None, None])
        return guided, replace(cond, guidance=scale)


def new_student(teacher: DiT, max_guidance: float = MAX_GUIDANCE) -> DiT:
    """Return a network that answers as its teacher, at first whatever guidance it is told."""
    student = DiT(replace(teacher.config, max_guidance=max_guidance))
    own = {
        name: value
        for name, value in student.state_dict().items()
        if name.startswith("guidance_in.")
    }
    student.load_state_dict(teacher.state_dict() | own)
    return student


@torch.no_grad()
def without_guidance(student: DiT) -> DiT:
    """Return a network that answers as this one does where no guidance is asked for.

    What the student adds to its conditioning then is the same for all clips.
    """
    plain = DiT(replace(student.config, max_guidance=1.0))
    weights = {
        name: value.clone()
        for name, value in student.state_dict().items()
        if not name.startswith("guidance_in.")
    }
    weights["sigma_in.down.bias"] += student.guidance_in(weights["sigma_in.down.bias"].new_zeros(1))
    plain.load_state_dict(weights)
    return plain
