"""How a clip's frames are shared out among ranks."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class FrameSpan:
    """One rank's frames, `start` to `stop`, within a clip."""

    start: int
    stop: int

    @property
    def index(self) -> slice:
        return slice(self.start, self.stop)

    def with_halo(self, width: int, num_frames: int) -> "FrameSpan":
        """Return the span widened by up to `width` neighbours on each side."""
        return FrameSpan(start=max(0, self.start - width), stop=min(num_frames, self.stop + width))

    def within(self, outer: "FrameSpan") -> slice:
        """Return where this span lies, counted from the start of one that holds it."""
        return slice(self.start - outer.start, self.stop - outer.start)


def frame_spans(num_frames: int, multiple: int, num_ranks: int) -> list[FrameSpan]:
    """Return each rank's span, in whole groups of `multiple` frames, as equal as that allows.

    The first ranks have the larger shares.

    Raises:
        ValueError: There are fewer groups than ranks, or frames that fill none.
    """
    groups, left_over = divmod(num_frames, multiple)
    if left_over or groups < num_ranks:
        raise ValueError(
            f"{num_frames} frames, {multiple} together, do not spread over {num_ranks} processes; "
            f"at most {groups} are of use"
        )
    bounds = [multiple * -(-groups * rank // num_ranks) for rank in range(num_ranks + 1)]
    return [FrameSpan(start=start, stop=stop) for start, stop in pairwise(bounds)]
