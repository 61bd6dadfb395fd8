"""What a clip's pictures alone say of its turn: pauses, cuts, and when they return.

Nothing is known of cameras here; two frames are as far apart as their pictures differ.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from threed.errors import RequestError

MIN_FRAMES = 8
STILL = 0.02
"""Frames of a still object differ by less: noise and compression."""
PAUSE = 0.004
"""Frames in a row that differ by less are a pause or a doubling."""
RETURNED = 0.5
"""Frames one turn apart differ by less than this share of what any two differ by."""
MAX_TURNS = 6
OPEN_TURNS = (0.93, 0.85)
"""What a clip that does not return is tried as."""


def frame_distances(frames: Float[Tensor, "frame height width 4"]) -> Float[Tensor, "frame other"]:
    """Return how much every two frames differ, as a share of the area that either covers."""
    flat = rearrange(frames, "f h w c -> f (h w c)")
    alpha = rearrange(frames[..., 3], "f h w -> f (h w)")
    rows = []
    for frame, cover in zip(flat, alpha, strict=True):
        area = torch.maximum(alpha, cover).sum(dim=1).clamp(min=1e-6)
        rows.append((flat - frame).abs().sum(dim=1) / (4 * area))
    return torch.stack(rows)


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of a count's indices, evenly chosen."""
    return [index * count // most for index in range(most)] if count > most else [*range(count)]


def check_count(count: int) -> None:
    if count < MIN_FRAMES:
        raise RequestError(
            f"the clip has {count} different frames; at least {MIN_FRAMES} of one whole turn are "
            "needed"
        )


def moving_frames(distances: Float[Tensor, "frame other"]) -> list[int]:
    """Return the frames without pauses, doublings and the first frame's repetition at the end."""
    kept = [0]
    for index in range(1, len(distances)):
        if float(distances[kept[-1], index]) > PAUSE:
            kept.append(index)
    # A step beside the first frame is like its neighbours, but a repetition is no step at all.
    while len(kept) > 3:
        first, last = float(distances[0, kept[1]]), float(distances[kept[-2], kept[-1]])
        if float(distances[0, kept[-1]]) > 0.35 * min(first, last):
            break
        kept.pop()
    return kept


def check_unbroken(distances: Float[Tensor, "frame other"], numbers: list[int]) -> None:
    """Refuse a clip with a cut in it.

    Args:
        distances: Between the frames that move on.
        numbers: What these frames are in the clip, as the user counts them, from 1.
    """
    steps = distances.diagonal(1)
    largest, median = float(steps.max()), float(steps.median())
    if largest > 5 * median and largest > 0.15:
        at = int(steps.argmax())
        raise RequestError(
            f"the clip jumps between frames {numbers[at]} and {numbers[at + 1]}: one unbroken "
            "turn about the object is needed"
        )


def moving_times(kept: list[int], indices: list[int]) -> Float[Tensor, " frame"]:
    """Return when the kept frames were taken, 0 to 1, with the pauses between them cut out.

    Args:
        kept: Which frames move on.
        indices: Where every frame stood in the clip.
    """
    times = [0.0]
    for frame in kept[1:]:
        times.append(times[-1] + indices[frame] - indices[frame - 1])
    return torch.tensor(times) / times[-1]


def possible_turns(distances: Float[Tensor, "frame other"]) -> list[float]:
    """Return how many turns the frames may show, the fewest first; the last frame counts its step.

    Frames return after one turn, so the numbers are those of the lags at which all pictures are
    nearly the same again; a clip that ends where it began may be one turn without any.
    """
    count = len(distances)
    mean = float(distances.sum()) / (count * (count - 1))
    found = []
    if float(distances[0, -1]) <= 1.5 * float(distances.diagonal(1).max()):
        found.append(1.0)
    apart = [0.0, *(float(distances.diagonal(lag).mean()) for lag in range(1, count))]
    for lag in range(count - 2, MIN_FRAMES - 1, -1):
        before, here, after = apart[lag - 1 : lag + 2]
        if here > min(before, after) or here > RETURNED * mean or count / lag > MAX_TURNS + 0.5:
            continue
        bend = before - 2 * here + after
        offset = 0.5 * (before - after) / bend if bend > 0 else 0.0
        turns = count / (lag + offset)
        # A whole turn that ends where it began is on the list already.
        if not any(math.isclose(turns, other, rel_tol=1 / count) for other in found):
            found.append(turns)
    return found
