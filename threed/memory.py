"""How much memory a reconstruction may need, and how much this machine has. Loads no torch.

`benchmarks/memory.py` measures what is believed of the texture.
"""

from pathlib import Path

from threed.errors import RequestError

BASE_BYTES = 1.2 * 2**30
"""A process with its libraries loaded and a field fitted to small frames, of which
`benchmarks/reconstruction.py` prints the memory."""
TEXEL_BYTES = 140
"""Of the bake, for each texel."""
PIXEL_BYTES = 250
"""Of the frames, for each pixel of each frame, as the fit holds them."""
SMALL_FRAME = 128
LARGE_GRID_BYTES = 300 << 20
"""Of the field's grid, which has more vertices for frames larger than those (`hull.py`)."""
USABLE = 0.9
"""Of the machine's memory; the system and others need some too."""
SMALLER = "ask for a smaller --size or --texture"

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
MEMINFO = Path("/proc/meminfo")


def frames_bytes(num_frames: int, size: int) -> int:
    """Return about how much memory square frames take while they are drawn or fitted, bytes."""
    return num_frames * size**2 * PIXEL_BYTES


def mesh_bytes(size: int, texture_size: int) -> int:
    """Return what a field of such frames and a texture take on top, bytes."""
    grid = LARGE_GRID_BYTES if size > SMALL_FRAME else 0
    return grid + texture_size**2 * TEXEL_BYTES


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


def check_reconstruction(num_frames: int, size: int, texture_size: int, available: float) -> None:
    """Raise RequestError where a reconstruction of so many frames at most cannot fit.

    Args:
        num_frames: Frames that may be used.
        size: Their longer side, pixels.
        texture_size: Texels along a side of the texture.
        available: All the memory there is, bytes.
    """
    # How narrow they come out is known only once they are read.
    check_frames(num_frames, size, size, texture_size, available, SMALLER)


def check_frames(
    num_frames: int, width: int, height: int, texture_size: int, available: float, remedy: str
) -> None:
    """Raise RequestError, which ends in a remedy, where a reconstruction of frames cannot fit."""
    frames = num_frames * width * height * PIXEL_BYTES
    need = BASE_BYTES + frames + mesh_bytes(max(width, height), texture_size)
    if need > USABLE * available:
        raise RequestError(
            f"{num_frames} frames of {width} x {height} pixels and a texture of {texture_size} may "
            f"need {need / 2**30:.1f} GiB of memory, and this machine has "
            f"{available / 2**30:.1f}; {remedy}"
        )
