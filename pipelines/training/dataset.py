"""A rendered dataset in memory: latents, cameras and captions, and the clips cut from it."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor

from pipelines.training.captions import captions_for
from pipelines.training.colours import NAMES, dominant_colours, recolour
from pipelines.training.pictures import as_pictures, turn_clips
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import PICTURE_MASK, RAY_CHANNELS, Conditioning, plucker_rays
from pipelines.video.text import TextEncoder
from threed.cameras import Cameras, camera_angles


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Orbits of some objects, as they lie on disk."""

    frames: UInt8[Tensor, "orbit frame height width 7"]
    c2w: Float[Tensor, "orbit frame 4 4"]
    fov_y: Float[Tensor, "orbit frame"]
    object: Int[Tensor, " orbit"]
    """Index of each orbit's object in the listing."""


def read_listing(folder: Path) -> list[dict[str, str]]:
    """Return the objects of a dataset folder: id, file, name, kit.

    Raises:
        ValueError: The folder is no dataset.
    """
    path = folder / "objects.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no objects.json; make it with the command render")
    return json.loads(path.read_text())["objects"]


def read_shards(folder: Path) -> Iterator[Shard]:
    """Yield the dataset's shards in order."""
    for path in sorted(folder.glob("orbits-*.safetensors")):
        yield Shard(**load_file(path))


def network_frames(
    frames: UInt8[Tensor, "*batch height width 7"],
) -> Float[Tensor, "*batch 7 height width"]:
    """Return stored frames as the networks take them, in [-1, 1]."""
    return rearrange(frames.float() / 127.5 - 1, "... h w c -> ... c h w")


@dataclass(frozen=True, kw_only=True)
class EncodedOrbits:
    """Orbits as latents and rays, and which captions each may be shown under."""

    latents: Tensor
    """float16 (orbit frame channel height width)."""
    rays: Tensor
    """float16 (orbit frame ray height width)."""
    azimuth: Float[Tensor, "orbit frame"]
    """Of every frame's camera, radians."""
    default: Int[Tensor, " object"]
    """Index of each object's default orbit."""
    painted: Int[Tensor, " object"]
    """Index of that orbit's copy in another colour; of itself where there is none."""
    captions: Int[Tensor, "orbit caption"]
    """Rows of the captions' tables."""


@dataclass(frozen=True, kw_only=True)
class LatentBank(EncodedOrbits):
    """Every orbit of a dataset, and the captions."""

    tokens: Tensor
    """float16 (row token channel)."""
    pooled: Tensor
    """float16 (row channel)."""
    texts: list[str]
    """The captions of the tables' rows."""
    channel_weight: Float[Tensor, " channel"]
    """How much an error of each latent counts: the root of what it costs in the pixels."""
    autoencoder: Autoencoder
    """A copy of the one that made the latents, on the CPU."""


def build_bank(
    folder: Path,
    autoencoder: Autoencoder,
    text_encoder: TextEncoder,
    *,
    captions_per_object: int,
    recoloured: int,
    seed: int,
) -> LatentBank:
    """Return the dataset encoded, with recoloured copies of some orbits under their own captions.

    Args:
        folder: A dataset folder.
        autoencoder: Its encoder must be final, for latents are kept and frames are not.
        text_encoder: Embeds the captions.
        captions_per_object: Captions drawn an object.
        recoloured: Copies an object that are painted in a colour it has not, the first of them of
            its default orbit.
        seed: Draws captions and colours.
    """
    listing = read_listing(folder)
    generator = torch.Generator().manual_seed(seed)
    texts: dict[str, int] = {}
    parts = [
        _encode_shard(
            shard,
            listing,
            autoencoder,
            captions_per_object=captions_per_object,
            recoloured=recoloured,
            generator=generator,
            texts=texts,
        )
        for shard in read_shards(folder)
    ]
    before = [sum(len(part.latents) for part in parts[:place]) for place in range(len(parts))]
    tokens, pooled = _embed_all(text_encoder, list(texts))
    return LatentBank(
        latents=torch.cat([part.latents for part in parts]),
        rays=torch.cat([part.rays for part in parts]),
        azimuth=torch.cat([part.azimuth for part in parts]),
        default=torch.cat([p.default + first for p, first in zip(parts, before, strict=True)]),
        painted=torch.cat([p.painted + first for p, first in zip(parts, before, strict=True)]),
        captions=torch.cat([part.captions for part in parts]),
        tokens=tokens,
        pooled=pooled,
        texts=list(texts),
        channel_weight=_channel_weight(autoencoder),
        # The caller may move its own to a GPU; batches are drawn here.
        autoencoder=deepcopy(autoencoder),
    )


def _encode_shard(
    shard: Shard,
    listing: list[dict[str, str]],
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
    # Made beforehand: small tensors kept between large passing ones left the heap full of holes,
    # twenty times what they hold.
    latents = torch.empty(count, frames, channels, side, side, dtype=torch.float16)
    rays = torch.empty(count, frames, RAY_CHANNELS, side, side, dtype=torch.float16)
    azimuth = torch.empty(count, frames)
    captions = torch.empty(count, captions_per_object, dtype=torch.long)
    default, repainted, place = [], [], 0

    def add(pictures: Tensor, cameras: Cameras, forms: list[str]) -> None:
        nonlocal place
        with torch.no_grad():
            latents[place] = autoencoder.encode(network_frames(pictures)[None])[0]
        rays[place] = plucker_rays(cameras, autoencoder.config.stride)
        azimuth[place] = camera_angles(cameras)[0]
        captions[place] = torch.tensor([texts.setdefault(form, len(texts)) for form in forms])
        place += 1

    for index in objects:
        orbits = (shard.object == index).nonzero()[:, 0].tolist()
        name = listing[index]["name"]
        colours = dominant_colours(shard.frames[orbits[0]])
        forms = captions_for(name, colours, captions_per_object, generator)
        cameras = [
            Cameras(c2w=shard.c2w[o], fov_y=shard.fov_y[o], width=size, height=size) for o in orbits
        ]
        default.append(place)
        for orbit, views in zip(orbits, cameras, strict=True):
            add(shard.frames[orbit], views, forms)
        others = [colour for colour in NAMES if colour not in colours]
        picks = torch.randperm(len(others), generator=generator)[:recoloured].tolist()
        repainted.append(place if picks else default[-1])
        for number, pick in enumerate(picks):
            which = int(torch.randint(len(orbits), (), generator=generator)) if number else 0
            plain = " ".join(w for w in name.split(" ") if w not in NAMES)
            painted = captions_for(f"{others[pick]} {plain}", [], captions_per_object, generator)
            add(recolour(shard.frames[orbits[which]], others[pick]), cameras[which], painted)
    return EncodedOrbits(
        latents=latents[:place],
        rays=rays[:place],
        azimuth=azimuth[:place],
        default=torch.tensor(default),
        painted=torch.tensor(repainted),
        captions=captions[:place],
    )


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


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How clips are cut for a batch.

    Raises:
        ValueError: A probability lies outside [0, 1].
    """

    lengths: tuple[int, ...] = (8, 12, 24)
    """Frames of a clip; one length a batch."""
    shares: tuple[float, ...] = (0.6, 0.2, 0.2)
    """How often each length is drawn."""
    default_share: float = 0.5
    """How often a clip is cut from an object's default orbit, which is asked for most."""
    painted_share: float = 0.25
    """How often that one is the copy in another colour, so that colour words are heeded."""
    drop_text: float = 0.12
    """How often a clip loses its caption, for guidance."""
    give_frames: float = 0.05
    """How often some frames are given as references."""
    give_picture: float = 0.2
    """How often the first frame is given as a picture, before which the object stands."""
    drop_pictured_text: float = 0.5
    """How often a clip with a picture loses its caption, for a picture must do alone too."""

    def __post_init__(self) -> None:
        names = ("default_share", "painted_share", "drop_text", "give_frames", "give_picture")
        for name in (*names, "drop_pictured_text"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if self.give_frames + self.give_picture > 1:
            raise ValueError(
                f"give_frames is {self.give_frames} and give_picture {self.give_picture}; "
                "together they must be at most 1"
            )


@torch.no_grad()
def draw_batch(
    bank: LatentBank, config: ClipConfig, tokens: int, generator: torch.Generator
) -> tuple[Float[Tensor, "batch frame channel height width"], Conditioning]:
    """Return clean clips and their conditions, as many as hold about `tokens` frames in all.

    A clip is a run through its orbit, forwards or back, at any spacing that stays within a turn.
    Where its first frame is given as a picture the world is turned so that this frame's camera
    stands at azimuth 0, for nobody says how the object in a picture stands in the world.
    """
    kind = int(torch.multinomial(torch.tensor(config.shares), 1, generator=generator))
    length = config.lengths[kind]
    batch = max(1, tokens // length)
    orbit = torch.randint(len(bank.latents), (batch,), generator=generator)
    which = torch.randint(len(bank.default), (batch,), generator=generator)
    painted = torch.rand(batch, generator=generator) < config.painted_share
    default = torch.where(painted, bank.painted[which], bank.default[which])
    plain = torch.rand(batch, generator=generator) < config.default_share
    orbit = torch.where(plain, default, orbit)
    around = bank.latents.shape[1]
    number = torch.rand(batch, 6, generator=generator)
    # The widest spacing closes the turn; it is what is asked for most.
    widest = around // length
    spacing = torch.where(number[:, 0] < 0.7, widest, 1 + (number[:, 1] * widest).long())
    spacing = spacing * torch.where(number[:, 2] < 0.2, -1, 1)
    start = (number[:, 3] * around).long()
    frame = (start[:, None] + spacing[:, None] * torch.arange(length)) % around
    clean = bank.latents[orbit[:, None], frame].float()
    rays = bank.rays[orbit[:, None], frame].float()
    pick = (torch.rand(batch, generator=generator) * bank.captions.shape[1]).long()
    row = bank.captions[orbit, pick]
    framed = number[:, 5] < config.give_frames
    pictured = ~framed & (number[:, 5] < config.give_frames + config.give_picture)
    keep = number[:, 4] >= torch.where(pictured, config.drop_pictured_text, config.drop_text)
    keep = keep.float()
    given = torch.rand(batch, length, generator=generator) < torch.rand(
        batch, 1, generator=generator
    )
    given &= framed[:, None]
    mask = given[:, :, None, None, None].float().repeat(1, 1, 1, *clean.shape[-2:])
    reference = clean * mask
    if bool(pictured.any()):
        away = -bank.azimuth[orbit, frame[:, 0]][pictured]
        clean[pictured], rays[pictured] = turn_clips(
            bank.autoencoder, clean[pictured], rays[pictured], away
        )
        reference[pictured, :1] = as_pictures(bank.autoencoder, clean[pictured, :1], generator)
        mask[pictured, :1] = PICTURE_MASK
    return clean, Conditioning(
        text=bank.tokens[row].float() * keep[:, None, None],
        pooled=bank.pooled[row].float() * keep[:, None],
        rays=rays,
        reference=reference,
        reference_mask=mask,
    )
