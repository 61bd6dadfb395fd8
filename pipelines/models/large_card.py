"""What there is to know of a large open model before anything of it is loaded or downloaded."""

from dataclasses import dataclass
from typing import Literal

from pipelines.errors import RequestError
from pipelines.request import FRAMES_RANGE, GenerationRequest

Commercial = Literal["yes", "below a threshold", "by permission"]
Architecture = Literal["wan", "ltx", "ltx2", "cogvideox", "hunyuan15", "sana_wm"]
Style = Literal["prose", "cinematic", "structured", "scene"]


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What the weights' licence allows and forbids."""

    name: str
    commercial: Commercial
    """Whether the weights and what they make may be used to earn money."""
    forbids: str
    """Conditions and what is forbidden, in a sentence; empty where there is nothing unusual."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network of a model."""

    name: str
    """Its folder in the repository."""
    parameters: float
    """Numbers that it holds."""

    @property
    def bytes(self) -> float:
        """What it takes in memory as bfloat16."""
        return 2 * self.parameters


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A picture size in which a model draws; the square in its middle is kept."""

    width: int
    height: int

    @property
    def size(self) -> int:
        return min(self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class HelperCard:
    """A model beside the video models: draws first pictures, rewrites prompts, cuts objects out."""

    name: str
    title: str
    kind: Literal["image", "language", "matting"]
    repository: str
    revision: str
    licence: Licence
    parts: tuple[Part, ...]
    download_gb: float
    num_steps: int = 0
    """Denoising steps of an image model."""
    guidance_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LargeModelCard:
    """A video model of the catalogue that is downloaded on demand and runs on a GPU.

    Download sizes and memory are estimates made from counts of parameters; what a download really
    takes is asked of the Hub when it begins.
    """

    name: str
    """What a request calls it."""
    title: str
    """What a person calls it."""
    architecture: Architecture
    repository: str
    """On the Hugging Face Hub."""
    revision: str
    """Used where a request names none: a branch, a tag or a commit."""
    licence_terms: Licence
    description: str
    parts: tuple[Part, ...]
    """The networks that are loaded, in the order in which they work."""
    download_gb: float
    """About what a download takes, 10^9 bytes."""
    working_gb: float
    """About what one step's intermediate values take on the GPU, 10^9 bytes."""
    canvases: tuple[Canvas, ...]
    """The first is used where no size is asked for."""
    turn_frames: int
    """Frames drawn for one turn: the orbit's frames are chosen from them."""
    frame_step: int
    """Clips have a multiple of this and one more frames."""
    most_frames: int
    fps: int
    num_steps: int
    guidance_scale: float
    style: Style
    """How its prompts are written."""
    image: bool = False
    """Starts from a picture: the visitor's own, or else one that `image_model` draws."""
    cameras: bool = False
    """Follows a camera path."""
    video_to_video: bool = True
    """Can start from a given clip, which distillation does."""
    num_tries: int = 3
    """Clips that are drawn where a request does not say; the one that agrees best is kept."""
    image_model: str | None = None
    """The helper that draws its first picture."""
    remarks: str = ""
    """What of the model is not used here, and why."""

    def __post_init__(self) -> None:
        for name in ("turn_frames", "most_frames"):
            if (getattr(self, name) - 1) % self.frame_step:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; a multiple of {self.frame_step} and 1 more"
                )

    @property
    def licence(self) -> str:
        return self.licence_terms.name

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths and heights of the orbits that it makes, pixels."""
        return tuple(canvas.size for canvas in self.canvases)

    @property
    def max_frames(self) -> int:
        """The longest orbit, frames: a turn ends where it began, so its last frame is no view."""
        return min(FRAMES_RANGE[1], self.most_frames - 1)

    @property
    def moves(self) -> bool:
        """Whether it is asked for more than turns about an object that stands still; none is."""
        return False

    @property
    def redraws(self) -> bool:
        """Whether its videos are drawn again where a request does not say: nobody measured that."""
        return False

    def num_parameters(self) -> int:
        """Return how many numbers all its networks hold, about."""
        return round(sum(part.parameters for part in self.parts))

    def canvas(self, size: int | None) -> Canvas:
        """Return the canvas of an orbit's size, the first where none is asked for."""
        for canvas in self.canvases:
            if size in (None, canvas.size):
                return canvas
        raise RequestError(f"size is {size}; the model {self.name!r} makes {self.sizes} pixels")

    def clip_frames(self, num_frames: int) -> int:
        """Return how many frames are drawn for an orbit: the usual turn, or the next length."""
        least = self.frame_step * -(-num_frames // self.frame_step) + 1
        return max(self.turn_frames, least)

    def weights(self, revision: str | None = None) -> dict[str, str]:
        """Return which weights a run would load: the repository and the commit on disk.

        Raises:
            InstallationError: They are not on disk.
        """
        # Here and not above: what looks at the disk also looks at this module.
        from pipelines.models.on_disk import require_whole

        commit = require_whole(self, revision).commit
        return {"repository": self.repository, "commit": commit}

    def check(self, request: GenerationRequest) -> None:
        """Refuse what the model cannot do on this machine, without loading it.

        Raises:
            RequestError: Too long, another size, a forbidden use, or too small a machine.
            InstallationError: It is not whole on disk.
        """
        # Here and not above: what looks at the whole catalogue also looks at this module.
        from pipelines.models.choice import check_large

        check_large(self, request)

    def runnable(self) -> bool:
        """Return whether its files are on disk and it fits this machine when that is idle."""
        from pipelines.models.machine import idle_machine
        from pipelines.models.memory import best_plan
        from pipelines.models.on_disk import is_whole

        return is_whole(self) and best_plan(self, idle_machine()) is not None
