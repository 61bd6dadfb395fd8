"""The form: what to make and how, and the request that its values amount to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.errors import InstallationError
from pipelines.models.catalogue import MODELS, ModelCard
from pipelines.request import (
    ELEVATION_RANGE_DEG,
    FACES_RANGE,
    FRAMES_RANGE,
    TEXTURE_SIZES,
    GenerationRequest,
)

EXAMPLES = (
    "a snowy pine tree",
    "a ketchup bottle",
    "a pink gem",
    "a donut",
    "a pie",
    "a Christmas tree",
)
"""Things that the embedded model draws well."""
# Drawn in the browser, so that the dice needs no server.
ROLL_DICE = "() => Math.floor(Math.random() * 4294967296)"


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form's components; `inputs` in the order in which `read_request` takes their values."""

    inputs: Sequence[gr.components.Component]
    prompt: gr.Textbox
    error: gr.HTML
    generate: gr.Button
    cancel: gr.Button


def build_form() -> Form:
    """Lay the form out in the surrounding Blocks."""
    prompt = gr.Textbox(
        label="What shall it be?",
        placeholder="a wooden chair",
        lines=2,
        max_lines=5,
        autofocus=True,
        elem_id="prompt",
    )
    error = gr.HTML(visible=False, elem_id="form-error")
    with gr.Row(elem_id="examples"):
        for example in EXAMPLES:
            chip = gr.Button(example, size="sm", min_width=0, scale=0)
            chip.click(None, None, prompt, js=f"() => {example!r}", api_visibility="private")
    with gr.Row(elem_id="actions"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", min_width=120)
        cancel = gr.Button(
            "Cancel", variant="secondary", visible=False, elem_id="cancel", min_width=100
        )
    with gr.Row(elem_id="seed-row"):
        seed = gr.Number(0, label="Seed", precision=0, elem_id="seed", min_width=120)
        dice = gr.Button("Roll another seed", elem_id="dice", min_width=0, scale=0)
        dice.click(None, None, seed, js=ROLL_DICE, api_visibility="private")
    cards = [card for card in MODELS if card.runnable()]
    model = _model_choice(cards)
    return Form(
        inputs=(prompt, seed, model, *_advanced(cards)),
        prompt=prompt,
        error=error,
        generate=generate,
        cancel=cancel,
    )


def _model_choice(cards: Sequence[ModelCard]) -> gr.components.Component:
    if len(cards) > 1:
        choices = [(card.title, card.name) for card in cards]
        return gr.Dropdown(choices, value=cards[0].name, label="Model", elem_id="model")
    card = cards[0] if cards else MODELS[0]
    says = f"Model: {card.title} · {card.licence}"
    if not cards:
        says = f"The weights of “{card.title}” are missing or incomplete on this machine."
    gr.Markdown(says, elem_id="model-text")
    return gr.State(card.name)


def frames_words(cards: Sequence[ModelCard]) -> str:
    """Return how many frames may be asked for, each model by its name where they differ."""
    fewest, most = FRAMES_RANGE
    try:
        longest = {card.title: min(most, card.max_frames) for card in cards}
    except InstallationError:
        longest = {}
    if len(set(longest.values())) > 1:
        limits = "; ".join(f"{title}: {frames}" for title, frames in longest.items())
        return f"{fewest} or more, at most: {limits}"
    return f"{fewest} to {next(iter(longest.values()), most)}"


def _advanced(cards: Sequence[ModelCard]) -> tuple[gr.components.Component, ...]:
    with gr.Accordion("Advanced settings", open=False, elem_id="advanced"):
        with gr.Row():
            num_frames = gr.Number(
                24,
                label="Frames",
                precision=0,
                info=frames_words(cards),
                min_width=120,
            )
            # Nought stands for the model's own: Gradio shows an empty number as 0.
            num_steps = gr.Number(
                0, label="Steps", precision=0, info="0: the model's own", min_width=120
            )
            guidance_scale = gr.Number(
                0, label="Guidance", info="0: the model's own", min_width=120
            )
        elevation_deg = gr.Slider(
            *ELEVATION_RANGE_DEG, value=15, step=1, label="Camera height", info="degrees"
        )
        with gr.Row():
            texture_size = gr.Dropdown(
                list(TEXTURE_SIZES), value=1024, label="Texture size", info="pixels", min_width=120
            )
            max_faces = gr.Number(
                20_000,
                label="Most triangles",
                precision=0,
                info="{:,} to {:,}".format(*FACES_RANGE),
                min_width=120,
            )
        distil = gr.Checkbox(True, label="Refine the 3D field with the video model")
        video_only = gr.Checkbox(False, label="Only the video, no mesh")
    return (
        *(num_frames, num_steps, guidance_scale, elevation_deg),
        *(texture_size, max_faces, distil, video_only),
    )


def read_request(
    prompt: str | None,
    seed: Any,
    model: str,
    num_frames: Any,
    num_steps: Any,
    guidance_scale: Any,
    elevation_deg: Any,
    texture_size: Any,
    max_faces: Any,
    distil: Any,
    video_only: Any,
) -> GenerationRequest:
    """Return the request that the form's values amount to; an emptied field has its
    default, and 0 stands for the model's own where it has one.

    Raises:
        RequestError: A value cannot be used.
    """
    given = {
        "seed": seed,
        "num_frames": num_frames,
        "elevation_deg": _float(elevation_deg),
        "texture_size": texture_size,
        "max_faces": max_faces,
    }
    return GenerationRequest(
        prompt=prompt or "",
        model=model,
        num_steps=num_steps or None,
        guidance_scale=_float(guidance_scale or None),
        distil=distil,
        video_only=video_only,
        **{name: value for name, value in given.items() if value is not None},
    )


def _float(value: Any) -> Any:
    # JSON knows one kind of number, so a slider at 15.0 sends 15. Anything else is refused later.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
