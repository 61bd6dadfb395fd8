"""What a video shows: who chooses the camera, and where a thing may move."""

from dataclasses import replace

import pytest

from pipelines.request import CAMERAS, ORBITS, GenerationRequest
from pipelines.shots import plan_shot

SPINNING = GenerationRequest(prompt="a spinning coin", video_only=True)
STANDING = GenerationRequest(prompt="a coin", video_only=True)


def test_the_camera_stands_still_by_itself_only_for_the_video_of_a_thing_that_moves() -> None:
    shot = plan_shot(SPINNING, True)
    assert shot.motion is not None
    assert (shot.camera, shot.motion.name, shot.thing) == ("still", "spin", "a coin")
    assert plan_shot(STANDING, True).camera == "orbit"
    assert plan_shot(SPINNING, False).camera == "orbit"
    shot = plan_shot(replace(SPINNING, video_only=False), True)
    assert (shot.camera, shot.motion, shot.thing) == ("orbit", None, "a coin")


@pytest.mark.parametrize("camera", [name for name in CAMERAS if name != "auto"])
def test_the_camera_that_is_asked_for_is_the_one_and_only_around_an_orbit_nothing_moves(
    camera: str,
) -> None:
    for request in (SPINNING, STANDING):
        shot = plan_shot(replace(request, camera=camera), True)
        assert (shot.camera, shot.thing) == (camera, "a coin")
        assert (shot.motion is not None) is (request is SPINNING and camera not in ORBITS)
        assert shot.kind == ("orbit" if camera in ORBITS else "clip")


def test_words_beside_a_picture_or_a_clip_may_be_a_files_name() -> None:
    for name in ("picture", "clip"):
        shot = plan_shot(replace(SPINNING, **{name: "0" * 64}), True)
        assert (shot.kind, shot.thing) == ("orbit", "a spinning coin")


def test_a_clip_says_whether_camera_or_thing_moves() -> None:
    assert plan_shot(SPINNING, True).why_no_orbit() == (
        "its camera stands still and what it shows moves (spin)"
    )
    arc = plan_shot(replace(STANDING, camera="arc"), True).why_no_orbit()
    assert arc == "its camera (arc) does not turn about the object"
