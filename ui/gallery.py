"""What there is to see while a job runs: the orbit as it denoises, the field as it forms.

The pictures travel inside the page as data, so that no visitor's preview ever lies in a file that
another could ask for.
"""

import base64

from threed.progress import STAGES, Stage

CAPTIONS: dict[Stage, str] = {
    "video": "The orbit, out of the noise",
    "field": "The 3D field, as it forms",
    "distillation": "The 3D field, being refined",
    "mesh": "The mesh, being cut from the field",
    "texture": "The texture, being baked",
}


def preview_html(stage: Stage, image: bytes | None) -> str:
    """Return a stage's latest picture (JPEG) with its caption; nothing where there is none."""
    if image is None or stage not in CAPTIONS:
        return ""
    data = base64.b64encode(image).decode()
    return (
        f'<figure class="preview {stage}"><img alt="{CAPTIONS[stage]}" '
        f'src="data:image/jpeg;base64,{data}"><figcaption>{CAPTIONS[stage]}</figcaption></figure>'
    )


def latest_stage(previews: dict[Stage, int]) -> Stage | None:
    """Return the last stage after the video that has a picture, or None."""
    found: list[Stage] = [
        stage for stage in STAGES if stage != "video" and stage in previews and stage in CAPTIONS
    ]
    return found[-1] if found else None
