"""A visitor's own picture on its way into a model: checked and cut out."""

import shutil
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.errors import RequestError
from pipelines.hashing import file_sha256
from pipelines.request import PICTURE_NAME, SEEN_NAME, GenerationRequest
from pipelines.video.framing import frame_picture
from threed.picture import read_picture
from threed.run_folder import RunFolder

SEEN_SIDE = 160


def request_picture(request: GenerationRequest, path: Path) -> Float[Tensor, "height width 4"]:
    """Return the object in a request's picture: premultiplied RGBA, cut to its outline.

    Raises:
        RequestError: The file is not there or another than the request's, or shows no object.
    """
    try:
        found = file_sha256(path)
    except OSError as error:
        raise RequestError("the picture of this request is gone; hand it in again") from error
    if found != request.picture:
        raise RequestError("the picture is another than that of this request; hand it in anew")
    return torch.from_numpy(read_picture(path))


def keep_picture(picture: Float[Tensor, "height width 4"], source: Path, folder: RunFolder) -> None:
    """Put a request's picture into its run folder, and what was cut out of it beside it."""
    if source != folder.file(PICTURE_NAME):
        shutil.copyfile(source, folder.file(PICTURE_NAME))
    frame = frame_picture(picture, SEEN_SIDE, share=0.96).numpy()
    straight = frame[..., :3] / np.maximum(frame[..., 3:], 0.5 / 255)
    pixels = np.concatenate([straight.clip(0, 1), frame[..., 3:]], axis=-1)
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(folder.file(SEEN_NAME))


def forget_picture(folder: RunFolder) -> None:
    """Remove the picture of a run that another, without one, takes the place of."""
    for name in (PICTURE_NAME, SEEN_NAME):
        folder.file(name).unlink(missing_ok=True)
