"""What the form's wishes will cost, said before anybody presses the button."""

import html
from collections.abc import Sequence
from dataclasses import replace

from pipelines.jobs.estimate import expected_seconds, requested_stages
from pipelines.jobs.records import Standing
from pipelines.request import ORBITS, GenerationRequest
from threed.file_size import BYTES_A_MB, expected_bytes, faces_within
from threed.progress import Stage
from ui.tongues import Language, say
from ui.words import megabytes, roughly

WORTH_A_WORD = 5.0
"""Seconds; a shorter wait counts as none."""


def cost_html(
    requests: Sequence[GenerationRequest],
    measured: dict[Stage, list[float]],
    standing: Standing,
    language: Language,
) -> str:
    """Return how long the requests will take, when the first begins, and how large a mesh gets."""
    number = len(requests)
    count = (
        say(language, "one_video") if number == 1 else say(language, "many_videos", number=number)
    )
    seconds = sum(expected_seconds(request, measured) for request in requests)
    key = "cost_video" if requests[0].video_only else "cost_straight"
    if requests[0].clip is not None:
        key = "cost_mesh"
    cost = say(language, key, count=count, time=roughly(seconds, language))
    words = [cost, _start(standing, language)]
    # Of what another camera shows there is never one.
    if requests[0].camera in ORBITS:
        words.append(mesh_size(requests[0], language))
    return f"<p>{' · '.join(html.escape(word) for word in words)}</p>"


def mesh_size(request: GenerationRequest, language: Language) -> str:
    """Return how large the mesh's file will be, and what a limit to its size will cost."""
    expected = expected_bytes(request.max_faces, request.texture_size)
    if request.max_mb is None:
        return say(language, "mesh_size", size=megabytes(round(expected)))
    size = megabytes(round(request.max_mb * BYTES_A_MB))
    faces = faces_within(request.max_mb)
    if expected <= request.max_mb * BYTES_A_MB:
        return say(language, "mesh_within", size=size)
    if request.max_faces <= faces:
        return say(language, "mesh_packed", size=size)
    return say(language, "mesh_reduced", size=size, faces=f"{round(faces, -2):,}")


def _start(standing: Standing, language: Language) -> str:
    if standing.wait_seconds < WORTH_A_WORD:
        return say(language, "queue_free")
    return say(language, "queue_before", time=roughly(standing.wait_seconds, language))


def mesh_seconds(request: GenerationRequest, measured: dict[Stage, list[float]]) -> float:
    """Return how long the mesh takes once the video is there, seconds."""
    # Whatever its camera did: where it was no orbit, nothing is built.
    whole = requested_stages(replace(request, video_only=False, camera="orbit"))
    return expected_seconds(request, measured, [stage for stage in whole if stage != "video"])
