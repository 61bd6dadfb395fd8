"""Clips cut from a bank's orbits, with what the transformer is told of them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.training.bank import LatentBank
from pipelines.training.pictures import as_pictures, random_variation, vary_clips
from pipelines.video.conditioning import PICTURE_MASK, Conditioning


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How clips are cut for a batch.

    Raises:
        ValueError: A probability lies outside [0, 1].
    """

    lengths: tuple[int, ...] = (8, 12, 24)
    """Frames of a clip; one length a batch."""
    shares: tuple[float, ...] = (0.25, 0.15, 0.6)
    """How often each length is drawn."""
    default_share: float = 0.5
    """How often a clip is cut from an object's default orbit, which is asked for most."""
    painted_share: float = 0.25
    """How often that one is the copy in another colour, so that colour words are heeded."""
    move_share: float = 0.2
    """How often a clip without a picture is one in which the thing moves, or the camera otherwise
    than around it, where there are any; a clip with a picture never is."""
    drop_text: float = 0.12
    """How often a clip loses its caption, for guidance."""
    give_frames: float = 0.05
    """How often some frames are given as references."""
    give_picture: float = 0.5
    """How often the first frame is given as a picture, before which the object stands."""
    drop_pictured_text: float = 0.5
    """How often a clip with a picture loses its caption, for a picture must do alone too."""
    vary_pictured: float = 0.5
    """How often a clip with a picture is mirrored, and how often it is painted anew; a painted one
    loses its caption."""

    def __post_init__(self) -> None:
        names = ("default_share", "painted_share", "move_share", "drop_text", "drop_pictured_text")
        for name in (*names, "give_frames", "give_picture", "vary_pictured"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if self.give_frames + self.give_picture > 1:
            raise ValueError(
                f"give_frames is {self.give_frames} and give_picture {self.give_picture}; "
                "together they must be at most 1"
            )


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """Return a generator of the device, begun by this one of the CPU; itself if it is the CPU."""
    if device.type == "cpu":
        return generator
    begin = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(begin)


@torch.no_grad()
def draw_batch(
    bank: LatentBank, config: ClipConfig, frames: int, generator: torch.Generator
) -> tuple[Float[Tensor, "batch frame channel height width"], Conditioning]:
    """Return clean clips and their conditions, as many as hold about `frames` frames in all.

    A clip is a run through its orbit, forwards or back, at any spacing that stays within a turn;
    where something else moves it is the whole, as it was drawn.
    Where its first frame is given as a picture the world is turned so that this frame's camera
    stands at azimuth 0, for nobody says how the object in a picture stands in the world; such clips
    come first in the batch, and they alone are cut from nameless objects too, mirrored or painted.

    Args:
        bank: What is cut from.
        config: How.
        frames: Frames a batch.
        generator: On the CPU; a bank elsewhere draws from one there that it starts.
    """
    device = bank.latents.device
    kind = int(torch.multinomial(torch.tensor(config.shares), 1, generator=generator))
    length = config.lengths[kind]
    batch = max(1, frames // length)
    # Decided here, lest the host wait for the device at every step.
    chance = float(torch.rand((), generator=generator))
    pictured = math.floor(config.give_picture * batch + chance)
    generator = generator_on(device, generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def any_of(rows: Tensor, count: int) -> Tensor:
        return rows[(uniform(count) * len(rows)).long().clamp(max=len(rows) - 1)]

    objects = any_of(torch.arange(len(bank.default), device=device), batch)
    painted = uniform(batch) < config.painted_share
    default = torch.where(painted, bank.painted[objects], bank.default[objects])
    plain = uniform(batch) < config.default_share
    orbit = torch.where(plain, default, any_of(bank.named, batch))
    moves = torch.zeros(batch, dtype=torch.bool, device=device)
    if len(bank.moving):
        moves = uniform(batch) < config.move_share
        moves[:pictured] = False
        orbit = torch.where(moves, any_of(bank.moving, batch), orbit)
    any_turning = any_of(bank.turning, pictured)
    orbit[:pictured] = torch.where(plain[:pictured], any_of(bank.level, pictured), any_turning)
    around = bank.latents.shape[1]
    number = uniform(batch, 6)
    # The widest spacing closes the turn; it is what is asked for most.
    widest = around // length
    spacing = torch.where(number[:, 0] < 0.7, widest, 1 + (number[:, 1] * widest).long())
    spacing = spacing * torch.where(number[:, 2] < 0.2, -1, 1)
    spacing = torch.where(moves, widest, spacing)
    start = torch.where(moves, 0, (number[:, 3] * around).long())
    frame = (start[:, None] + spacing[:, None] * torch.arange(length, device=device)) % around
    clean = bank.latents[orbit[:, None], frame].float()
    rays = bank.rays[orbit[:, None], frame].float()
    pick = (uniform(batch) * bank.captions.shape[1]).long()
    row = bank.captions[orbit, pick]
    drop = torch.full((batch,), config.drop_text, device=device)
    drop[:pictured] = config.drop_pictured_text
    keep = (number[:, 4] >= drop).float()
    variation, repainted = random_variation(
        -bank.azimuth[orbit, frame[:, 0]][:pictured], config.vary_pictured, generator
    )
    keep[:pictured] *= ~repainted
    given = uniform(batch, length) < uniform(batch, 1)
    given &= number[:, 5:] * (1 - config.give_picture) < config.give_frames
    given[:pictured] = False
    mask = given[:, :, None, None, None].float().repeat(1, 1, 1, *clean.shape[-2:])
    reference = clean * mask
    if pictured:
        clean[:pictured], rays[:pictured] = vary_clips(
            bank.autoencoder, clean[:pictured], rays[:pictured], variation
        )
        reference[:pictured, :1] = as_pictures(bank.autoencoder, clean[:pictured, :1], generator)
        mask[:pictured, :1] = PICTURE_MASK
    return clean, Conditioning(
        text=bank.tokens[row].float() * keep[:, None, None],
        pooled=bank.pooled[row].float() * keep[:, None],
        rays=rays,
        reference=reference,
        reference_mask=mask,
        guidance=torch.ones(batch, device=device),
    )
