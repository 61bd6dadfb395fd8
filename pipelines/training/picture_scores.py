"""Scores of orbits that start from one picture of a thing the model never saw."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.models.embedded import EmbeddedModel
from pipelines.request import GenerationRequest
from pipelines.training.autoencoder import box_psnr
from pipelines.training.evaluation import NUM_FRAMES, SHEET_FRAMES
from pipelines.training.features import FEATURE_SIZE, FEATURE_VIEWS, feature_distance, orbit_feature
from pipelines.training.orbits import Orbits, PackedMeshes, network_frames, read_rows
from pipelines.training.renders import RenderConfig
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.autoencoder import FRAME_CHANNELS, frames_from_orbit, orbit_from_frames
from threed.cameras import orbit_cameras
from threed.orbit import display_frames
from threed.progress import finish

PICTURE_CHANNELS = 4
"""Of a frame's channels, those that a picture has: colours and coverage."""
SHEET_CLIPS = 20


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """PSNR of an orbit's views but the first, dB, in the alpha's box widened by 4 pixels."""

    id: str
    drawn: float
    """Of the model's orbit."""
    copied: float
    """Of the picture in place of every view."""
    nearest: float
    """Of the views of the known object that looks most like the picture, turned by quarters."""


def evaluate_pictures(
    folder: Path,
    known: Path,
    held_out: Path,
    count: int,
    out: Path,
    *,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score orbits from one picture, write `pictures.json` and a sheet, return the report.

    The picture is the first frame of an object's default orbit, without light, at the place and
    the size that it has there; no words are given. The sheet has the truth above what was drawn.

    Args:
        folder: The model's.
        known: Packed meshes that it was trained on.
        held_out: Packed meshes that it was not.
        count: About how many of these.
        out: Folder of the report.
        num_steps: Of the sampler; the model's own if None. One gives the mean of all orbits that
            the model might draw, which scores best and shows nothing sharply.
        guidance_scale: 1 for none; the model's own if None.
        seed: Of the noise.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = EmbeddedModel.load(folder)
    size = model.settings.size
    config = RenderConfig(size=size, num_orbits=1, num_frames=NUM_FRAMES)
    rows = read_rows(held_out)
    ids = frozenset(row.id for row in rows[:: max(1, len(rows) // count)])
    unseen = PackedMeshes(path=held_out, config=config, ids=ids)
    judge = NearestKnown(known, config)
    cameras = orbit_cameras(NUM_FRAMES, size=size)
    request = GenerationRequest(
        prompt="a thing",
        num_frames=NUM_FRAMES,
        num_steps=num_steps,
        guidance_scale=guidance_scale,
    )
    scores, sheet = [], []
    for row, truth in _default_orbits(unseen):
        picture = rearrange((truth[0, :PICTURE_CHANNELS] + 1) / 2, "c h w -> h w c")
        generator = torch.Generator().manual_seed(seed)
        steps = model.sample_views(request, cameras, generator, picture, framed=True)
        drawn = finish(steps)
        scores.append(
            PictureScore(
                id=row,
                drawn=_unseen_psnr(frames_from_orbit(drawn), truth),
                copied=_unseen_psnr(truth[:1].expand_as(truth), truth),
                nearest=_unseen_psnr(judge.views(truth[0]), truth),
            )
        )
        if len(sheet) < 2 * SHEET_CLIPS:
            true_views = display_frames(orbit_from_frames(truth, cameras))
            sheet += [true_views[list(SHEET_FRAMES)], display_frames(drawn)[list(SHEET_FRAMES)]]
        print(scores[-1], flush=True)
    write_png(contact_sheet(torch.stack(sheet)), out / "pictures.png")
    means = {
        part: sum(getattr(score, part) for score in scores) / len(scores)
        for part in ("drawn", "copied", "nearest")
    }
    settings = {
        "num_steps": num_steps or model.settings.num_steps,
        "guidance_scale": guidance_scale or model.settings.guidance_scale,
    }
    each = [asdict(score) for score in scores]
    report = {"num_objects": len(scores), **settings, **means, "objects": each}
    (out / "pictures.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _default_orbits(orbits: Orbits) -> list[tuple[str, Float[Tensor, "frame 7 height width"]]]:
    rows = orbits.listing()
    return [
        (rows[int(shard.object[0])].id, network_frames(shard.frames[0]))
        for shard in orbits.shards()
    ]


def _unseen_psnr(
    frames: Float[Tensor, "frame 7 height width"], truth: Float[Tensor, "frame 7 height width"]
) -> float:
    return float(box_psnr(frames[1:], truth[1:]).mean())


class NearestKnown:
    """Finds the known object that looks most like a picture from one of its four sides."""

    def __init__(self, known: Path, config: RenderConfig) -> None:
        self._known, self._config = known, config
        few = RenderConfig(size=config.size, num_orbits=1, num_frames=FEATURE_VIEWS)
        shards = PackedMeshes(path=known, config=few).shards()
        features = torch.stack([orbit_feature(network_frames(s.frames[0])) for s in shards])
        self._sides = _picture_part(features).flatten(0, 1)
        self._ids = [row.id for row in read_rows(known)]

    def views(
        self, picture: Float[Tensor, "7 height width"]
    ) -> Float[Tensor, "frame 7 height width"]:
        """Return the object's own default orbit, begun at the side that is nearest."""
        feature = orbit_feature(picture.expand(FEATURE_VIEWS, -1, -1, -1))
        distance = feature_distance(_picture_part(feature[None])[0, :1], self._sides)[0]
        which, side = divmod(int(distance.argmin()), FEATURE_VIEWS)
        ids = frozenset({self._ids[which]})
        only = PackedMeshes(path=self._known, config=self._config, ids=ids)
        ((_, frames),) = _default_orbits(only)
        # Normals are not compared, so that the turn of the world needs no more than this.
        return frames.roll(-side * len(frames) // FEATURE_VIEWS, dims=0)


def _picture_part(features: Float[Tensor, "design feature"]) -> Float[Tensor, "design view part"]:
    """Return what a picture tells of every side."""
    shape = (FEATURE_VIEWS, FRAME_CHANNELS, FEATURE_SIZE, FEATURE_SIZE)
    return features.unflatten(1, shape)[:, :, :PICTURE_CHANNELS].flatten(2)
