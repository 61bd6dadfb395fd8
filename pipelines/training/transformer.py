"""Training of the diffusion transformer by rectified flow on cached latents."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipelines.training.bank import LatentBank
from pipelines.training.clips import ClipConfig, draw_batch, generator_on
from pipelines.training.guidance import GuidanceTeacher, new_student
from pipelines.training.optimiser import Optimiser, is_state, learnt_guidance, trapezoid
from pipelines.video.checkpoint import load_transformer, save_model
from pipelines.video.diffusion import add_noise
from pipelines.video.dit import DiT, DiTConfig
from pipelines.video.precision import mixed_precision

# Below, an error of the clean estimate counts no more: faint noise hides nothing that matters.
LEAST_SIGMA = 0.5
# Of the noise levels' logits: two fifths of the levels lie above 0.9, a ninth below a half.
LOGIT_MEAN, LOGIT_SPREAD = 1.8, 1.5
# Steps after which the host waits for a GPU, lest the clock run ahead of the work.
SYNC_STEPS = 20

# The first of them that the machine has. On an H200 cuDNN's takes 2.3 ms forwards and back for a
# step's clips where flash attention, torch's first choice, takes 3.5.
ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


@dataclass(frozen=True, kw_only=True)
class TransformerTraining:
    """How the transformer learns.

    Raises:
        ValueError: A field is out of range.
    """

    num_steps: int
    """Steps in all, resumed ones counted."""
    num_minutes: float | None = None
    """Ends by the clock instead, earlier runs counted: for machines of unknown speed."""
    batch_frames: int = 320
    """Frames a step, however they are cut into clips."""
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    decay_share: float = 0.25
    """Share of the steps at the end over which the learning rate falls to zero."""
    ema_decay: float = 0.998

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_frames", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.num_minutes is not None and self.num_minutes <= 0:
            raise ValueError(f"num_minutes is {self.num_minutes}; it must be above 0")
        if not 0 <= self.decay_share <= 1:
            raise ValueError(f"decay_share is {self.decay_share}; it must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class FlowTrainStep:
    """One optimiser step."""

    step: int
    last: bool
    loss: Float[Tensor, ""]
    """On the training's device: who reads it waits for the step to end there."""
    clips: int


def flow_loss(
    transformer: DiT,
    bank: LatentBank,
    clips: ClipConfig,
    batch_frames: int,
    generator: torch.Generator,
    device: torch.device | str,
    teacher: GuidanceTeacher | None = None,
) -> tuple[Tensor, int]:
    """Return one random batch's mean squared error, and its number of clips.

    The error is the velocity's, each latent weighted by what it means to the picture.

    Noise levels are logit-normal (Esser et al., "Scaling Rectified Flow Transformers", section
    3.1), far towards high noise: a clip's many views tell what they show through all but the
    strongest, and only there words and cameras must decide it. A tenth is drawn uniformly, so that
    both ends are seen.

    A teacher's guided answers take the place of the clean clips, where there is one.
    """
    clean, cond = draw_batch(bank, clips, batch_frames, generator)
    clean, cond = clean.to(device), cond.to(device)
    generator = generator_on(clean.device, generator)
    there = {"generator": generator, "device": clean.device}
    noise = torch.randn(clean.shape, **there)
    sigma = torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * torch.randn(len(clean), **there))
    chance, uniform = torch.rand(2, len(clean), **there)
    sigma = torch.where(chance < 0.1, uniform, sigma)
    noisy = add_noise(clean, noise, sigma)
    with mixed_precision(device):
        if teacher is not None:
            clean, cond = teacher.answer(noisy, sigma, cond, generator)
        estimate = transformer(noisy, sigma, cond)
    # An error of the clean estimate is an error of velocity over sigma.
    level = sigma.clamp(min=LEAST_SIGMA)[:, None, None, None, None]
    error = ((estimate.float() - clean) / level).square()
    error = error * bank.channel_weight.to(device)[:, None, None]
    # Frames that were given need no prediction; a picture says only a part of its frame.
    wanted = (cond.reference_mask < 1).float()
    return (error * wanted).sum() / (wanted.expand_as(error).sum() + 1e-6), len(clean)


def train_transformer(
    transformer: DiT,
    bank: LatentBank,
    config: TransformerTraining,
    clips: ClipConfig,
    state: Path,
    *,
    teacher: GuidanceTeacher | None = None,
    compile_model: bool = False,
    seed: int,
    device: torch.device | str = "cpu",
    save_seconds: float = 120.0,
) -> Iterator[FlowTrainStep]:
    """Train in place, yielding each step; goes on from `state` where that file exists.

    With a teacher the network learns its guided answers, see `new_student`.

    Every step draws from a generator of its own, so that a resumed run sees the batches that an
    unbroken one would have seen. The state is saved every `save_seconds` and at the end.
    """
    transformer.to(device).train()
    optimiser = Optimiser(
        transformer, learning_rate=config.learning_rate, ema_decay=config.ema_decay
    )
    if state.exists():
        optimiser.load(state)
    saved = time.monotonic()
    networks = [transformer]
    if teacher is not None:
        networks.append(teacher.transformer.to(device).eval())
    for network in networks if compile_model else ():
        _compile(network, device)

    def progress() -> float:
        return optimiser.progress(config.num_steps, config.num_minutes)

    while progress() < 1:
        begin = time.monotonic()
        step = optimiser.step_count + 1
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        frames = config.batch_frames
        with sdpa_kernel(ATTENTION, set_priority=True):
            loss, count = flow_loss(transformer, bank, clips, frames, generator, device, teacher)
            loss.backward()
        optimiser.step(trapezoid(step, progress(), config.warmup_steps, config.decay_share))
        if step % SYNC_STEPS == 0:
            loss.item()
        optimiser.seconds += time.monotonic() - begin
        last = progress() >= 1
        if time.monotonic() - saved > save_seconds or last:
            optimiser.save(state)
            saved = time.monotonic()
        yield FlowTrainStep(step=step, last=last, loss=loss.detach(), clips=count)


def _compile(transformer: DiT, device: torch.device | str) -> None:
    """Compile the whole network on a CPU, and on a GPU a block, which serves for all.

    There a block's products are what takes time, and the whole network's compilation takes minutes
    that would train it.
    """
    if torch.device(device).type == "cpu":
        transformer.compile(dynamic=False)
        return
    for block in transformer.blocks:
        block.compile(dynamic=False)


def export_average(
    state: Path,
    config: DiTConfig,
    out: Path,
    earlier: Path | None = None,
    earlier_share: float = 0.0,
) -> None:
    """Write a state's averaged weights, or those of a model file, in half precision.

    Training that went on from an earlier edition to other things forgets some of what that knew;
    between both lie weights that know either (Wortsman et al. 2022, "Robust fine-tuning").

    Args:
        state: Of the training, or a model file.
        config: The network's, before it learnt guidance.
        out: The file to write.
        earlier: Weights of the edition that the training began with.
        earlier_share: How much of these is mixed in.

    Raises:
        ValueError: The share lies outside [0, 1], or the editions' networks differ.
    """
    if not 0 <= earlier_share <= 1:
        raise ValueError(f"earlier_share is {earlier_share}; it must lie in [0, 1]")
    model = averaged_network(state, config)
    weights = model.state_dict()
    if earlier is not None:
        old = _of_preset(earlier, model.config).state_dict()
        weights = {name: torch.lerp(new, old[name], earlier_share) for name, new in weights.items()}
    model.load_state_dict(weights)
    save_model(model, out)


def averaged_network(path: Path, config: DiTConfig) -> DiT:
    """Return the network of a state's averaged weights, or of a model file.

    Args:
        path: The state or the file.
        config: The network's, before it learnt guidance.

    Raises:
        ValueError: It is another network's.
    """
    if not is_state(path):
        learnt = load_transformer(path).config.max_guidance
        return _of_preset(path, replace(config, max_guidance=learnt))
    model = DiT(config)
    if learnt_guidance(path):
        model = new_student(model)
    optimiser = Optimiser(model, learning_rate=0.0, ema_decay=0.0)
    optimiser.load(path)
    model.load_state_dict(optimiser.averaged_state())
    return model


def _of_preset(path: Path, config: DiTConfig) -> DiT:
    model = load_transformer(path)
    if model.config != config:
        raise ValueError(f"{path} holds another network than the preset")
    return model
