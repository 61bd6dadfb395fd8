"""SAM 2 from a folder on this machine: the object at a picture's middle, followed through a clip.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024; the networks are transformers'
own. A few points about the picture's middle each get several answers, parts and wholes; the answer
that the others agree with best is the object. In a clip this is done on a few frames, and from the
surest one the object is followed to both ends. What the network remembers of a clip is bounded.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from threed.errors import RequestError
from threed.matte import FRAME_SHARE
from threed.segmenter_weights import load_network

if TYPE_CHECKING:
    from transformers import Sam2Model, Sam2VideoModel

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of sRGB in the pictures that the network learnt from."""
MIDDLE = (0.5, 0.5)
"""Where the object stands: x and y as shares of the picture."""
AROUND = ((0.0, 0.0), (-0.08, 0.0), (0.08, 0.0), (0.0, -0.08), (0.0, 0.08))
"""How far from there it is asked for."""
LEAST_SCORE = 0.5
"""An answer that the network expects to overlap the truth less is none."""
MOST_BORDER = 0.15
"""An answer that covers more of the picture's border is the background."""
NUM_TRIED = 4
"""Frames of a clip on which the object is sought."""
MOST_CHANGE = 3.0
"""From frame to frame the object's area changes by no larger factor."""
REMEMBERED = 16
"""Frames back that the network looks at."""

Logits = Float[np.ndarray, "rows columns"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The object in one picture."""

    logits: Logits
    """Positive inside it; they cover the whole picture."""
    score: float
    """How sure it is, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """The network for pictures and the one for clips, of the same weights."""

    pictures: "Sam2Model"
    clips: "Sam2VideoModel"

    @staticmethod
    def load(folder: Path, device: torch.device | str) -> "Segmenter":
        """Return the networks in a folder, on a device.

        Raises:
            InstallationError: The folder holds no SAM 2, or its weights are damaged.
        """
        return Segmenter(
            pictures=load_network(folder, "Sam2Model", device),
            clips=load_network(folder, "Sam2VideoModel", device),
        )

    @property
    def device(self) -> torch.device:
        return self.clips.device

    @property
    def side(self) -> int:
        """Width and height to which the network stretches pictures."""
        side: Any = self.clips.config.image_size
        return int(side)

    def pixels(
        self, picture: UInt8[np.ndarray, "height width 3"]
    ) -> Float[Tensor, "1 3 side another"]:
        """Return a picture as the networks take it: stretched to a square, normalised."""
        planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        small = F.interpolate(
            planes, (self.side, self.side), mode="bilinear", antialias=True, align_corners=False
        )
        mean = torch.tensor(MEAN).view(3, 1, 1)
        return ((small / 255 - mean) / torch.tensor(DEVIATION).view(3, 1, 1)).to(self.device)

    def find(
        self, picture: UInt8[np.ndarray, "height width 3"], place: tuple[float, float] = MIDDLE
    ) -> Answer | None:
        """Return the object at a place in a picture, None where no answer is one."""
        points = (torch.tensor(place) + torch.tensor(AROUND)).clamp(0, 1)[None, :, None]
        points = (self.side * points).to(self.device)
        with torch.no_grad():
            output = self.pictures(
                pixel_values=self.pixels(picture),
                input_points=points,
                input_labels=torch.ones(points.shape[:-1], dtype=torch.int64, device=self.device),
                multimask_output=True,
            )
        logits = output.pred_masks.flatten(0, 2).float().cpu().numpy()
        return most_agreed(logits, output.iou_scores.flatten().float().cpu().numpy())

    def follow(
        self, frames: UInt8[np.ndarray, "frame height width 3"], first: Logits
    ) -> Generator[Logits, None, None]:
        """Yield the object's logits in each frame, given those in the first."""
        # Here and not above: importing this module loads no transformers.
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        session = Sam2VideoInferenceSession(
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=torch.float32,
        )
        # Typed as whole pixels of the square, which is what the network takes for the truth.
        mask = F.interpolate(
            torch.from_numpy(np.ascontiguousarray(first))[None, None].to(self.device),
            (self.side, self.side),
            mode="bilinear",
            align_corners=False,
        )
        number = session.obj_id_to_idx(1)
        session.add_mask_inputs(number, 0, (mask > 0).float())
        session.obj_with_new_inputs = [1]
        for index, frame in enumerate(frames):
            with torch.no_grad():
                output = self.clips(
                    inference_session=session, frame=self.pixels(frame), frame_idx=index
                )
            _forget(session, number, index)
            yield first if index == 0 else output.pred_masks[0, 0].float().cpu().numpy()


def _forget(session: Any, number: int, index: int) -> None:
    """Let go of what no later frame looks at."""
    session.processed_frames.pop(index, None)
    outputs = session.output_dict_per_obj[number]
    outputs["non_cond_frame_outputs"].pop(index - REMEMBERED, None)
    for kept in outputs.values():
        kept.get(index, {}).pop("high_res_masks", None)


def most_agreed(
    logits: Float[np.ndarray, "answer rows columns"], scores: Float[np.ndarray, " answer"]
) -> Answer | None:
    """Return the answer that the others agree with best, each counting as much as it is sure.

    Those that are next to nothing, nearly everything or the background's do not count.
    """
    masks = logits > 0
    border = np.ones(masks.shape[1:], dtype=bool)
    border[1:-1, 1:-1] = False
    share = masks.mean(axis=(1, 2))
    usable = (share > FRAME_SHARE[0]) & (share < FRAME_SHARE[1]) & (scores >= LEAST_SCORE)
    usable &= masks[:, border].mean(axis=1) <= MOST_BORDER
    if not usable.any():
        return None
    flat = masks[usable].reshape(usable.sum(), -1).astype(np.float32)
    common = flat @ flat.T
    area = flat.sum(axis=1)
    overlap = common / (area[:, None] + area - common)
    weight = scores[usable]
    agreement = weight * (overlap @ weight) / weight.sum()
    best = int(agreement.argmax())
    # What half of the answers call background is not sure.
    return Answer(
        logits=logits[usable][best], score=float(agreement[best] * usable.sum() / len(usable))
    )


def segment_clip(
    segmenter: Segmenter, frames: UInt8[np.ndarray, "frame height width 3"]
) -> Generator[tuple[int, Logits], None, None]:
    """Yield each frame's number and the object's logits in it, in the order of the work.

    Raises:
        RequestError: No object stands in the middle of a frame, or it is lost on the way.
    """
    tried = np.unique(np.linspace(0, len(frames) - 1, NUM_TRIED).round().astype(int))
    found = {int(index): segmenter.find(frames[index]) for index in tried}
    answers = {index: answer for index, answer in found.items() if answer is not None}
    if not answers:
        raise not_found()
    start = max(answers, key=lambda index: answers[index].score)
    first = answers[start].logits
    yield start, first
    for step in (1, -1):
        if not 0 <= start + step < len(frames):
            continue
        before = first
        for distance, logits in enumerate(segmenter.follow(frames[start::step], first)):
            index = start + step * distance
            if distance > 0:
                check_followed(before, logits, f"frame {index + 1} of {len(frames)}")
                yield index, logits
            before = logits


def not_found() -> RequestError:
    """Return the refusal of a picture in which no answer is an object."""
    return RequestError(
        "no plain background is found around the object, and the segmentation model finds no "
        "single object in the middle; show one, with room on all sides"
    )


def check_followed(before: Logits, logits: Logits, where: str) -> None:
    """Refuse logits that cannot show the object of the frame before.

    Raises:
        RequestError: It is gone, has become nearly everything, or has jumped.
    """
    mask, last = logits > 0, before > 0
    share = float(mask.mean())
    change = share / max(float(last.mean()), 1e-6)
    jumped = not 1 / MOST_CHANGE < change < MOST_CHANGE or not (mask & last).any()
    if not FRAME_SHARE[0] < share < FRAME_SHARE[1] or jumped:
        raise RequestError(
            f"the segmentation model loses the object in {where}; film it whole and alone in "
            "every frame, or before one even colour"
        )
