"""The limits that every model has: how long a clip may be, and of which sizes."""

from pipelines.errors import RequestError
from pipelines.request import GenerationRequest


def check_limits(request: GenerationRequest, *, max_frames: int, sizes: tuple[int, ...]) -> None:
    """Raise RequestError where a clip is longer than its model makes, or of another size."""
    if request.num_frames > max_frames:
        raise RequestError(
            f"num_frames is {request.num_frames}; the model {request.model!r} makes at most "
            f"{max_frames}"
        )
    if request.size is not None and request.size not in sizes:
        allowed = ", ".join(str(size) for size in sizes)
        raise RequestError(
            f"size is {request.size}; the model {request.model!r} makes {allowed} pixels"
        )
