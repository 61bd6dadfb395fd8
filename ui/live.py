"""What there is to see while a job runs: the orbit as it denoises, the field as it forms.

The pictures travel inside the page as data, so that no visitor's preview ever lies in a file that
another could ask for.
"""

import base64
import html
import io

from PIL import Image

from pipelines.jobs.previews import NUM_COLUMNS, NUM_TILES
from threed.progress import STAGES, Stage


def preview_html(image: bytes | None, alt: str = "") -> str:
    """Return a stage's latest picture (JPEG); nothing where there is none.

    A contact sheet of a whole turn is shown as what it is of: a thing that turns. Without words for
    it, it is there for the eye alone.
    """
    if image is None:
        return ""
    address = f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
    if _is_turn(image):
        says = f'role="img" aria-label="{html.escape(alt)}"' if alt else 'aria-hidden="true"'
        return (
            f'<div class="turning" {says}><div style="background-image:url({address})"></div></div>'
        )
    return f'<img class="still" alt="{html.escape(alt)}" src="{address}">'


def _is_turn(image: bytes) -> bool:
    with Image.open(io.BytesIO(image), formats=("JPEG",)) as picture:
        num_rows = NUM_TILES // NUM_COLUMNS
        return picture.width * num_rows == picture.height * NUM_COLUMNS


def latest_stage(previews: dict[Stage, int]) -> Stage | None:
    """Return the last stage after the video that has a picture, or None."""
    found: list[Stage] = [stage for stage in STAGES if stage != "video" and stage in previews]
    return found[-1] if found else None
