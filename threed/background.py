"""Objects cut out of their background: a plain one by its colour, any other by a model if there.

The plain background's own way comes first: it is better at edges, needs no network and no weights.
Where the background is not plain, a segmentation model cuts the object out if its weights are on
this machine (`threed.segmenter_weights` says where); where none is, the refusal names it.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from threed.errors import NoPlainBackgroundError
from threed.matte import matte, matte_steps
from threed.patience import patiently
from threed.progress import Progress, told
from threed.segmenter_weights import HOW_TO_INSTALL, find_weights

if TYPE_CHECKING:
    from threed.segmenter import Segmenter

NOTE = "the background, which is not plain, was removed by a segmentation model"
CUTTING = "cutting the object out of its plain background"


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """Pictures without their background."""

    pictures: Float[np.ndarray, "frame height width 4"]
    """Premultiplied RGBA, sRGB in [0, 1]."""
    notes: tuple[str, ...]
    """What was assumed, a sentence each, for the user."""


def cut_out_clip(
    frames: UInt8[np.ndarray, "frame height width 3"], by_model: bool = True
) -> Generator[Progress, None, CutOut]:
    """Yield the progress and return what a clip's frames show of one object.

    Args:
        frames: In order, sRGB.
        by_model: Whether a segmentation model may do it where the background is not plain.

    Raises:
        NoPlainBackgroundError: The background is not plain, and no model is there or allowed.
        RequestError: Nothing stands out from a plain background, or the model finds no object.
        InstallationError: The model's weights are damaged.
    """
    try:
        pictures = yield from told(matte_steps(frames), "video", CUTTING)
        return CutOut(pictures=pictures, notes=())
    except NoPlainBackgroundError as error:
        if not by_model:
            raise
        refusal = error
    weights = _weights(refusal)
    pictures = np.zeros((*frames.shape[:3], 4), dtype=np.float32)
    num_done = 0
    yield _cutting(num_done, len(frames))
    for found in patiently(_cut_by_model(weights, frames)):
        if found is not None:
            index, pictures[index] = found
            num_done += 1
        yield _cutting(num_done, len(frames))
    return CutOut(pictures=pictures, notes=(NOTE,))


def _cut_by_model(
    weights: Path, frames: UInt8[np.ndarray, "frame height width 3"]
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yield the number of each frame, in the order of the work, and what it shows."""
    segmenter = _load(weights)
    # Here and not above: they load torch, which a plain background does not need.
    from threed.mask_edge import cut_along
    from threed.segmenter import segment_clip

    for index, logits in segment_clip(segmenter, frames):
        yield index, cut_along(frames[index], logits)


class PictureCutter:
    """Cuts the object out of single pictures; a model is loaded when the first one needs it."""

    def __init__(self, by_model: bool = True) -> None:
        self.by_model = by_model
        self.num_by_model = 0
        """Pictures whose background was not plain."""
        self._segmenter: Segmenter | None = None

    def cut(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        place: tuple[float, float] = (0.5, 0.5),
    ) -> Float[np.ndarray, "height width 4"]:
        """Return the object in a picture, premultiplied.

        Args:
            picture: sRGB.
            place: Where the object is, shares of width and height; only a model asks.

        Raises:
            RequestError: As `cut_out_clip`.
            InstallationError: As `cut_out_clip`.
        """
        try:
            return matte(picture[None])[0]
        except NoPlainBackgroundError as error:
            if not self.by_model:
                raise
            self._segmenter = self._segmenter or _load(_weights(error))
        from threed.mask_edge import cut_along
        from threed.segmenter import not_found

        answer = self._segmenter.find(picture, place)
        if answer is None:
            raise not_found()
        self.num_by_model += 1
        return cut_along(picture, answer.logits)


def model_is_there() -> bool:
    """Return whether weights of a segmentation model are on this machine."""
    return find_weights() is not None


def _weights(refusal: NoPlainBackgroundError) -> Path:
    """Return where the model's weights lie, or refuse as before and say what would help."""
    weights = find_weights()
    if weights is None:
        raise NoPlainBackgroundError(f"{refusal}, {HOW_TO_INSTALL}") from refusal
    return weights


def _load(weights: Path) -> "Segmenter":
    """Return the model, on the GPU if there is one."""
    import torch

    from threed.segmenter import Segmenter

    return Segmenter.load(weights, "cuda" if torch.cuda.is_available() else "cpu")


def _cutting(num_done: int, num_frames: int) -> Progress:
    message = f"cutting the object out with a segmentation model, {num_done} of {num_frames} frames"
    return Progress(stage="video", step=num_done, num_steps=num_frames, message=message)
