"""A dataset in memory, as the transformer learns from it: latents, rays and captions."""

from copy import deepcopy
from dataclasses import dataclass, fields

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.training.captions import captions_for
from pipelines.training.colours import NAMES, dominant_colours, recolour
from pipelines.training.motions import TURN, motion_of
from pipelines.training.orbits import Orbits, Shard, network_frames
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import RAY_CHANNELS, plucker_rays
from pipelines.video.text import TextEncoder
from threed.cameras import Cameras, camera_angles


@dataclass(frozen=True, kw_only=True)
class EncodedOrbits:
    """Orbits and other clips as latents and rays, and the captions each may be shown under."""

    latents: Tensor
    """float16 (orbit frame channel height width)."""
    rays: Tensor
    """float16 (orbit frame ray height width)."""
    azimuth: Float[Tensor, "orbit frame"]
    """Of every frame's camera, radians."""
    captions: Int[Tensor, "orbit caption"]
    """Rows of the captions' tables."""
    named: Int[Tensor, " named"]
    """Indices of the orbits whose object has a name."""
    turning: Int[Tensor, " turning"]
    """Indices of all orbits, of which any frame may be the first."""
    moving: Int[Tensor, " moving"]
    """Indices of the other clips, of named objects all, which begin where they begin."""
    level: Int[Tensor, " level"]
    """Index of every object's default orbit, whether it has a name or not."""
    default: Int[Tensor, " object"]
    """Index of each named object's default orbit."""
    painted: Int[Tensor, " object"]
    """Index of that orbit's copy in another colour; of itself where there is none."""


INDICES = ("named", "turning", "moving", "level", "default", "painted")


@dataclass(frozen=True, kw_only=True)
class LatentBank(EncodedOrbits):
    """Every orbit of a dataset, and the captions, on the device that batches are drawn on."""

    tokens: Tensor
    """float16 (row token channel)."""
    pooled: Tensor
    """float16 (row channel)."""
    texts: list[str]
    """The captions of the tables' rows."""
    channel_weight: Float[Tensor, " channel"]
    """How much an error of each latent counts: the root of what it costs in the pixels."""
    autoencoder: Autoencoder
    """A copy of the one that made the latents."""


def build_bank(
    orbits: Orbits,
    autoencoder: Autoencoder,
    text_encoder: TextEncoder,
    *,
    captions_per_object: int,
    recoloured: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> LatentBank:
    """Return the dataset encoded, with recoloured copies of some orbits under their own captions.

    Args:
        orbits: A dataset.
        autoencoder: Its encoder must be final, for latents are kept and frames are not.
        text_encoder: Embeds the captions.
        captions_per_object: Captions drawn an object.
        recoloured: Copies a named object that are painted in a colour it has not, the first of them
            of its default orbit.
        seed: Draws captions and colours.
        device: Where the bank lies.
    """
    # A copy, for the caller may move its own.
    autoencoder = deepcopy(autoencoder).to(device).eval()
    names = [row.name for row in orbits.listing()]
    generator = torch.Generator().manual_seed(seed)
    texts: dict[str, int] = {}
    parts = [
        _encode_shard(
            shard,
            names,
            autoencoder,
            captions_per_object=captions_per_object,
            recoloured=recoloured,
            generator=generator,
            texts=texts,
        )
        for shard in orbits.shards()
    ]
    tokens, pooled = _embed_all(text_encoder, list(texts))
    joined, device = _join(parts), torch.device(device)
    return LatentBank(
        **{field.name: getattr(joined, field.name).to(device) for field in fields(EncodedOrbits)},
        tokens=tokens.to(device),
        pooled=pooled.to(device),
        texts=list(texts),
        channel_weight=_channel_weight(autoencoder),
        autoencoder=autoencoder,
    )


def _join(parts: list[EncodedOrbits]) -> EncodedOrbits:
    before, first = 0, []
    for part in parts:
        first.append(before)
        before += len(part.latents)

    def joined(name: str) -> Tensor:
        values = [getattr(part, name) for part in parts]
        if name in INDICES:
            values = [value + offset for value, offset in zip(values, first, strict=True)]
        return torch.cat(values)

    return EncodedOrbits(**{field.name: joined(field.name) for field in fields(EncodedOrbits)})


def _encode_shard(
    shard: Shard,
    names: list[str],
    autoencoder: Autoencoder,
    *,
    captions_per_object: int,
    recoloured: int,
    generator: torch.Generator,
    texts: dict[str, int],
) -> EncodedOrbits:
    """Return a shard's orbits encoded, painted copies too; adds to `texts` what they are called."""
    objects = shard.object.unique().tolist()
    count = len(shard.frames) + recoloured * len(objects)
    frames, size = shard.frames.shape[1:3]
    side = size // autoencoder.config.stride
    channels = autoencoder.config.latent_channels
    device = next(autoencoder.parameters()).device
    # Made beforehand: small tensors kept between large passing ones left the heap full of holes,
    # twenty times what they hold.
    half = {"dtype": torch.float16, "device": device}
    latents = torch.empty(count, frames, channels, side, side, **half)
    rays = torch.empty(count, frames, RAY_CHANNELS, side, side, **half)
    azimuth = torch.empty(count, frames, device=device)
    captions = torch.empty(count, captions_per_object, dtype=torch.long)
    named, turning, moving, place = [], [], [], 0
    level, default, repainted = [], [], []

    def add(pictures: Tensor, cameras: Cameras, forms: list[str], *, turns: bool = True) -> None:
        nonlocal place
        orbits = slice(place, place + len(pictures))
        with torch.no_grad():
            latents[orbits] = autoencoder.encode(network_frames(pictures.to(device)))
        lines = plucker_rays(cameras, autoencoder.config.stride)
        rays[orbits] = rearrange(lines, "(o f) c h w -> o f c h w", f=frames)
        azimuth[orbits] = rearrange(camera_angles(cameras)[0], "(o f) -> o f", f=frames)
        captions[orbits] = torch.tensor([texts.setdefault(form, len(texts)) for form in forms])
        (turning if turns else moving).extend(range(orbits.start, orbits.stop))
        if turns and forms[0]:
            named.extend(range(orbits.start, orbits.stop))
        place = orbits.stop

    def seen(clips: list[int]) -> Cameras:
        return Cameras(
            c2w=rearrange(shard.c2w[clips], "o f i j -> (o f) i j").to(device),
            fov_y=rearrange(shard.fov_y[clips], "o f -> (o f)").to(device),
            width=size,
            height=size,
        )

    moves = torch.full_like(shard.object, TURN) if shard.moves is None else shard.moves
    for index in objects:
        mine, name = shard.object == index, names[index]
        orbits = (mine & (moves == TURN)).nonzero()[:, 0].tolist()
        pictures = shard.frames[orbits]
        first = place
        level.append(first)
        if not name:
            add(pictures, seen(orbits), [""] * captions_per_object)
            continue
        colours = dominant_colours(pictures[0])
        add(pictures, seen(orbits), captions_for(name, colours, captions_per_object, generator))
        others = [colour for colour in NAMES if colour not in colours]
        picks = torch.randperm(len(others), generator=generator)[:recoloured].tolist()
        default.append(first)
        repainted.append(place if picks else first)
        for number, pick in enumerate(picks):
            which = int(torch.randint(len(orbits), (), generator=generator)) if number else 0
            called = f"{others[pick]} {_without_colours(name)}"
            forms = captions_for(called, [], captions_per_object, generator)
            painted = recolour(pictures[which], others[pick])
            add(painted[None], seen(orbits[which : which + 1]), forms)
        for clip in (mine & (moves != TURN)).nonzero()[:, 0].tolist():
            motion = motion_of(int(moves[clip]))
            forms = captions_for(name, colours, captions_per_object, generator, motion)
            add(shard.frames[[clip]], seen([clip]), forms, turns=False)
    return EncodedOrbits(
        latents=latents[:place],
        rays=rays[:place],
        azimuth=azimuth[:place],
        captions=captions[:place],
        named=torch.tensor(named, dtype=torch.long),
        turning=torch.tensor(turning, dtype=torch.long),
        moving=torch.tensor(moving, dtype=torch.long),
        level=torch.tensor(level, dtype=torch.long),
        default=torch.tensor(default, dtype=torch.long),
        painted=torch.tensor(repainted, dtype=torch.long),
    )


def _without_colours(name: str) -> str:
    # The last word is the thing itself, though it may be called as a colour is: an orange.
    *words, noun = name.split(" ")
    return " ".join([*(word for word in words if word not in NAMES), noun])


def _channel_weight(autoencoder: Autoencoder) -> Float[Tensor, " channel"]:
    # Whitening left the faint latents louder than they are in the picture; the whole way back to
    # the pixels' own weights would leave nine tenths of the loss to the eight strongest.
    weight = autoencoder.synthesis.norm(dim=0)
    return weight / weight.mean()


def _embed_all(encoder: TextEncoder, texts: list[str]) -> tuple[Tensor, Tensor]:
    parts = [encoder.encode(texts[i : i + 256]) for i in range(0, len(texts), 256)]
    return (
        torch.cat([part.tokens.half() for part in parts]),
        torch.cat([part.pooled.half() for part in parts]),
    )
