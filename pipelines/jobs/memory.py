"""What a job may need of the machine's memory, and whether it has that much at all.

A job that cannot fit would bring its worker down, again and again; it is refused when it is handed
in, with a cheaper setting named. `benchmarks/memory.py` measures what is believed here.
"""

from dataclasses import replace
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.request import FRAMES_RANGE, TEXTURE_SIZES, GenerationRequest

WORKER_BYTES = 1.5 * 2**30
"""A worker with the embedded model loaded and a field fitted."""
TEXEL_BYTES = 140
"""Of the bake, for each texel."""
PIXEL_BYTES = 250
"""Of the frames, for each pixel of each frame, as the fit holds them."""
CLIP_SIZE = 128
LARGE_GRID_BYTES = 0.3 * 2**30
"""Of the field's grid, which has more vertices for frames larger than those (`threed/hull.py`)."""
USABLE = 0.9
"""Of the machine's memory; the page and the system need some too."""

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
MEMINFO = Path("/proc/meminfo")


def estimated_bytes(request: GenerationRequest) -> float:
    """Return about how much memory the worker will hold at most for a request, bytes."""
    size = request.size or CLIP_SIZE
    need = WORKER_BYTES + request.num_frames * size**2 * PIXEL_BYTES
    if request.video_only:
        return need
    grid = LARGE_GRID_BYTES if size > CLIP_SIZE else 0.0
    return need + grid + request.texture_size**2 * TEXEL_BYTES


def machine_bytes() -> float:
    """Return the memory that this machine, or its container, has; infinity where nothing says."""
    limits = [float("inf")]
    for path in CGROUP_LIMITS:
        try:
            # The word "max" is no number, and means none.
            limits.append(float(path.read_text()))
        except (OSError, ValueError):
            continue
    try:
        line = next(line for line in MEMINFO.read_text().splitlines() if "MemTotal" in line)
        limits.append(float(line.split()[1]) * 1024)
    except (OSError, StopIteration, ValueError):
        pass
    return min(limits)


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
