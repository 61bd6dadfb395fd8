"""The form for a clip of one's own, which takes the place of a model's video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.request import CLIP_FOV_RANGE_DEG, GenerationRequest
from ui.mesh_settings import mesh_changes
from ui.tongues import label
from ui.uploads import CLIP_TITLE, file_title

KINDS = [".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif", ".webp"]


@dataclass(frozen=True, kw_only=True)
class ClipForm:
    """The form's components."""

    clip: gr.File
    fov_deg: gr.Number
    build: gr.Button
    cost: gr.HTML


def build_clip_form() -> ClipForm:
    """Lay the form out in the surrounding Blocks."""
    clip = gr.File(label=label("clip_drop"), file_types=KINDS, height=150, elem_id="clip")
    fov_deg = gr.Number(
        # Gradio sends an empty field as 0, so 0 it is from the start.
        0,
        label=label("clip_fov"),
        info="{:g} – {:g}".format(*CLIP_FOV_RANGE_DEG),
        elem_id="clip-fov",
    )
    build = gr.Button(label("build_clip"), variant="primary", elem_id="build-clip")
    return ClipForm(clip=clip, fov_deg=fov_deg, build=build, cost=gr.HTML(elem_classes="cost"))


def clip_request(
    path: Path, sha256: str, fov_deg: Any, form_values: Sequence[Any]
) -> GenerationRequest:
    """Return the request that makes a mesh of a clip.

    Args:
        path: The clip, whose name becomes the title.
        sha256: Its hash.
        fov_deg: Vertical field of view, degrees; 0 or None is measured.
        form_values: The form's values, whose 3D settings count.

    Raises:
        RequestError: A value cannot be used.
    """
    changes = {**mesh_changes(form_values), "distil": False}
    fov = float(fov_deg) if fov_deg else None
    title = file_title(path, CLIP_TITLE)
    return GenerationRequest(prompt=title, clip=sha256, clip_fov_deg=fov, **changes)
