"""The form for a picture of one's own, which the model is given instead of words or beside them."""

from dataclasses import dataclass

import gradio as gr
from gradio.data_classes import ImageData

from ui.tongues import label

# Drawn in the browser, so that the dice needs no server.
ROLL_DICE = "() => Math.floor(Math.random() * 4294967296)"


@dataclass(frozen=True, kw_only=True)
class PictureForm:
    """The form's components, and the models that it is for."""

    picture: gr.Image
    words: gr.Textbox
    seed: gr.Number
    make: gr.Button
    cost: gr.HTML
    models: tuple[str, ...]
    """Names of the models that take a picture and run here; the first is the usual one."""


def build_picture_form(models: tuple[str, ...]) -> PictureForm:
    """Lay the form out in the surrounding Blocks."""
    picture = gr.Image(
        label=label("picture_drop"),
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        buttons=[],
        height=220,
        elem_id="picture",
    )
    # Gradio would open the file here, in the page's process; it is looked at elsewhere.
    picture.preprocess = _where_it_lies
    words = gr.Textbox(
        label=label("picture_words"), info=label("picture_info"), max_lines=1, elem_id="name"
    )
    with gr.Row(elem_classes="chance"):
        seed = gr.Number(0, label=label("seed"), precision=0, elem_classes="seed", min_width=100)
        dice = gr.Button(label("dice"), elem_classes="dice", min_width=0, scale=0)
        dice.click(None, None, seed, js=ROLL_DICE, api_visibility="private")
    make = gr.Button(label("make"), variant="primary", elem_id="make-picture")
    cost = gr.HTML(elem_classes="cost")
    return PictureForm(picture=picture, words=words, seed=seed, make=make, cost=cost, models=models)


def _where_it_lies(payload: ImageData | None) -> str | None:
    return payload.path if payload else None
