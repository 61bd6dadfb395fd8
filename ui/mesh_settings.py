"""The settings of the 3D stage, which a video that is there already may still be built with."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.request import FACES_RANGE, TEXTURE_SIZES
from ui.tongues import label

NUM_FIELDS = 5


def build_mesh_settings() -> tuple[gr.components.Component, ...]:
    """Lay the settings out in the surrounding Blocks; they are the last of the form's inputs."""
    with gr.Row():
        texture_size = gr.Dropdown(
            list(TEXTURE_SIZES),
            value=1024,
            label=label("texture_size"),
            info=label("pixels"),
            min_width=110,
        )
        max_faces = gr.Number(
            20_000,
            label=label("max_faces"),
            precision=0,
            info="{:,} – {:,}".format(*FACES_RANGE),
            min_width=110,
        )
        # Nought stands for no limit: Gradio shows an empty number as 0.
        max_mb = gr.Number(
            0, label=label("max_mb"), info=label("no_limit"), step=0.1, min_width=110
        )
    distil = gr.Checkbox(True, label=label("distil"))
    redraw = gr.Checkbox(True, label=label("redraw"))
    return texture_size, max_faces, max_mb, distil, redraw


def mesh_changes(values: Sequence[Any]) -> dict[str, Any]:
    """Return the settings of the 3D stage that the form's values hold; an emptied one is absent."""
    texture_size, max_faces, max_mb, distil, redraw = values[-NUM_FIELDS:]
    changes = {"texture_size": texture_size, "max_faces": max_faces, "distil": bool(distil)}
    present = {name: value for name, value in changes.items() if value is not None}
    return {**present, "redraw": redraw_of(redraw), "max_mb": max_mb or None}


def redraw_of(ticked: Any) -> Any:
    """Return a request's `redraw`: where it is ticked, or emptied, the model's own."""
    return None if ticked is True else ticked
