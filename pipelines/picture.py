"""A visitor's own picture on its way into a model: checked and cut out."""

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.errors import RequestError
from pipelines.request import GenerationRequest
from threed.picture import read_picture


def request_picture(request: GenerationRequest, path: Path) -> Float[Tensor, "height width 4"]:
    """Return the object in a request's picture: premultiplied RGBA, cut to its outline.

    Raises:
        RequestError: The file is not there or another than the request's, or shows no object.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError("the picture of this request is gone; hand it in again") from error
    if found != request.picture:
        raise RequestError("the picture is another than that of this request; hand it in anew")
    return torch.from_numpy(read_picture(path))
