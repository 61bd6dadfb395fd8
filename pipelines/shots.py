"""What a video is to show: the camera's path, and what its thing does. Text alone."""

from dataclasses import dataclass
from typing import Literal

from pipelines.motions import Motion, find_motion
from pipelines.request import GenerationRequest


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What one video shows."""

    camera: str
    """Of `pipelines.request.CAMERAS`, but for `auto`."""
    motion: Motion | None
    """What the thing does; None where it stands still."""
    thing: str
    """The prompt, without the words for a motion."""

    @property
    def kind(self) -> Literal["orbit", "clip"]:
        """What the video is: an `orbit`, of which a mesh can be made, or a `clip`."""
        return "orbit" if self.camera == "orbit" and self.motion is None else "clip"

    def why_no_orbit(self) -> str:
        """Return in words why this is a clip."""
        moving = "its camera stands still"
        if self.camera != "still":
            moving = f"its camera ({self.camera}) does not turn about the object"
        if self.motion is None:
            return moving
        return f"{moving} and what it shows moves ({self.motion.name})"


def plan_shot(request: GenerationRequest, moves: bool) -> Shot:
    """Return what a request's video shows.

    Where a mesh is asked for, or a camera that goes around, the thing stands still whatever the
    words say: nothing moves in a mesh.

    Args:
        request: What is asked for.
        moves: Whether the model has learnt other cameras than the orbit's, and words for motion.
    """
    # The words beside a clip or a picture may be no more than a file's name.
    told = moves and request.upload_name is None
    motion, thing = (find_motion(request.prompt) if told else None) or (None, request.prompt)
    camera = request.camera
    if camera == "auto":
        camera = "still" if request.video_only and motion is not None else "orbit"
    return Shot(camera=camera, motion=None if camera == "orbit" else motion, thing=thing)
