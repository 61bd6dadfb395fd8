"""What a job may need of the machine's memory, and whether it has that much at all.

A job that cannot fit would bring its worker down, again and again; it is refused when it is handed
in, with a cheaper setting named.
"""

from dataclasses import replace

from pipelines.errors import RequestError
from pipelines.request import FRAMES_RANGE, TEXTURE_SIZES, GenerationRequest
from threed.memory import BASE_BYTES, SMALL_FRAME, USABLE, frames_bytes, mesh_bytes

MODEL_BYTES = 0.3 * 2**30
"""The embedded model, which stays loaded."""


def estimated_bytes(request: GenerationRequest) -> float:
    """Return about how much memory the worker will hold at most for a request, bytes."""
    size = request.size or SMALL_FRAME
    need = MODEL_BYTES + BASE_BYTES + frames_bytes(request.num_frames, size)
    return need if request.video_only else need + mesh_bytes(size, request.texture_size)


def check_memory(request: GenerationRequest, available: float) -> None:
    """Raise RequestError where a request cannot fit; names a cheaper setting where one would.

    Args:
        request: What is asked for.
        available: All the memory there is, bytes.
    """
    if estimated_bytes(request) <= USABLE * available:
        return
    need, have = estimated_bytes(request) / 2**30, available / 2**30
    words = f"this needs about {need:.1f} GiB of memory and the server has {have:.1f}"
    raise RequestError(f"{words}; {_cheaper(request, available)}")


def _cheaper(request: GenerationRequest, available: float) -> str:
    for size in sorted(TEXTURE_SIZES, reverse=True):
        smaller = replace(request, texture_size=min(size, request.texture_size))
        if not request.video_only and estimated_bytes(smaller) <= USABLE * available:
            return f"a texture of {smaller.texture_size} pixels would fit"
    fewest = replace(request, num_frames=FRAMES_RANGE[0], texture_size=TEXTURE_SIZES[0])
    if estimated_bytes(fewest) <= USABLE * available:
        return "fewer frames and a smaller texture would fit"
    return "ask for a smaller video, or for less of it"
