"""The form: what to make and how, and the requests that its values amount to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import InstallationError, RequestError
from pipelines.models.catalogue import MODELS, ModelCard
from pipelines.request import (
    CAMERAS,
    ELEVATION_RANGE_DEG,
    FRAMES_RANGE,
    NUM_SEEDS,
    GenerationRequest,
)
from ui.answers import DEFAULT
from ui.clips import ClipForm, build_clip_form, clip_request
from ui.mesh_settings import build_mesh_settings, redraw_of
from ui.own_picture import ROLL_DICE, PictureForm, build_picture_form
from ui.tongues import label
from ui.uploads import PICTURE_TITLE, file_title

EXAMPLES = (
    "a snowy pine tree",
    "a wooden chair",
    "a purple sofa",
    "a burger",
    "a red van",
    "a ketchup bottle",
    "a bouncing pumpkin",
)
"""Things that the embedded model draws well; the last shows that they may move, and ends as a
video, as its second step then says."""
VARIATIONS = ("1", "4")
MAX_REQUESTS = 8
"""Videos that one press may ask for."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form's components; `inputs` in the order in which `read_requests` takes their values."""

    inputs: Sequence[gr.components.Component]
    prompt: gr.Textbox
    cost: gr.HTML
    error: gr.HTML
    generate: gr.Button
    restore: gr.UploadButton
    clip: ClipForm
    picture: PictureForm | None
    """None where no model that runs here takes pictures."""

    def costs(self) -> list[gr.HTML]:
        """Return where it stands what each kind of wish will cost, in the order of `wishes`."""
        return [self.cost, self.clip.cost, *([self.picture.cost] if self.picture else [])]


def build_form() -> Form:
    """Lay the form out in the surrounding Blocks."""
    cards = [card for card in MODELS if card.runnable()]
    takers = tuple(card.name for card in cards if card.image)
    with gr.Tabs(elem_id="kinds"):
        with gr.Tab(label("words"), id="words"):
            prompt, seed, variations, straight, generate, cost = _words()
        picture = None
        if takers:
            with gr.Tab(label("picture"), id="own-picture"):
                picture = build_picture_form(takers)
            # A seed that comes back with other settings is this one's too.
            seed.change(None, seed, picture.seed, js="(s) => s", api_visibility="private")
        with gr.Tab(label("clip"), id="own-clip"):
            clip = build_clip_form()
    error = gr.HTML(visible=False, elem_id="form-error")
    with gr.Accordion(label("video_settings"), open=False, elem_id="video-settings"):
        video_settings = _video_settings(cards)
    with gr.Accordion(label("mesh_settings"), open=False, elem_id="mesh-settings"):
        mesh_settings = build_mesh_settings()
    restore = gr.UploadButton(
        label("restore"), file_types=[".json", ".glb", ".mp4"], elem_id="restore", size="sm"
    )
    return Form(
        inputs=(prompt, seed, variations, straight, *video_settings, *mesh_settings),
        prompt=prompt,
        cost=cost,
        error=error,
        generate=generate,
        restore=restore,
        clip=clip,
        picture=picture,
    )


def _words() -> tuple[gr.Textbox, gr.Number, gr.Radio, gr.Checkbox, gr.Button, gr.HTML]:
    prompt = gr.Textbox(
        label=label("prompt"),
        info=label("prompt_info"),
        placeholder="a wooden chair",
        lines=2,
        max_lines=8,
        autofocus=True,
        elem_id="prompt",
    )
    with gr.Row(elem_id="examples"):
        for example in EXAMPLES:
            chip = gr.Button(example, size="sm", min_width=0, scale=0)
            chip.click(None, None, prompt, js=f"() => {example!r}", api_visibility="private")
    with gr.Row(elem_id="chance"):
        seed = gr.Number(0, label=label("seed"), precision=0, elem_id="seed", min_width=100)
        dice = gr.Button(label("dice"), elem_id="dice", min_width=0, scale=0)
        dice.click(None, None, seed, js=ROLL_DICE, api_visibility="private")
        variations = gr.Radio(
            list(VARIATIONS), value="1", label=label("variations"), elem_id="variations"
        )
    straight = gr.Checkbox(False, label=label("straight"), elem_id="straight")
    generate = gr.Button(label("make"), variant="primary", elem_id="generate")
    cost = gr.HTML(elem_id="cost", elem_classes="cost")
    return prompt, seed, variations, straight, generate, cost


def cameras_here() -> bool:
    """Return whether some model that runs here follows more than the orbit's cameras."""
    return any(card.moves for card in MODELS if card.runnable())


def possible_here(request: GenerationRequest) -> GenerationRequest:
    """Return a request with what the form has here: another choice could not be taken back."""
    here = [card.name for card in MODELS if card.runnable()]
    if here and request.clip is None and request.model not in here:
        request = replace(request, model=here[0])
    return request if cameras_here() else replace(request, camera=DEFAULT.camera)


def _video_settings(cards: Sequence[ModelCard]) -> tuple[gr.components.Component, ...]:
    with gr.Row():
        if len(cards) > 1:
            choices = [(card.title, card.name) for card in cards]
            model = gr.Dropdown(choices, value=cards[0].name, label=label("model"), elem_id="model")
        else:
            model = gr.State((cards[0] if cards else MODELS[0]).name)
        num_frames = gr.Number(
            24, label=label("frames"), precision=0, info=frames_words(cards), min_width=80
        )
        # Nought stands for the model's own: Gradio shows an empty number as 0.
        num_steps = gr.Number(
            0, label=label("steps"), precision=0, info=label("models_own"), min_width=80
        )
        guidance = gr.Number(0, label=label("guidance"), info=label("models_own"), min_width=80)
    elevation = gr.Slider(
        *ELEVATION_RANGE_DEG, value=15, step=1, label=label("elevation"), info=label("degrees")
    )
    return model, num_frames, num_steps, guidance, elevation, _camera()


def _camera() -> gr.components.Component:
    """Return the choice of the camera; there is none where no model could follow it."""
    if not cameras_here():
        return gr.State(CAMERAS[0])
    return gr.Dropdown(
        [(label(f"camera_{name}"), name) for name in CAMERAS],
        value=CAMERAS[0],
        label=label("camera"),
        info=label("camera_info"),
        elem_id="camera",
    )


def frames_words(cards: Sequence[ModelCard]) -> str:
    """Return how many frames may be asked for, each model by its name where they differ."""
    fewest, most = FRAMES_RANGE
    try:
        longest = {card.title: min(most, card.max_frames) for card in cards}
    except InstallationError:
        longest = {}
    if len(set(longest.values())) > 1:
        limits = "; ".join(f"{title}: {frames}" for title, frames in longest.items())
        return f"{fewest} –; {limits}"
    return f"{fewest} – {next(iter(longest.values()), most)}"


def read_requests(
    prompt: str | None,
    seed: Any,
    variations: Any,
    straight: Any,
    model: str,
    num_frames: Any,
    num_steps: Any,
    guidance_scale: Any,
    elevation_deg: Any,
    camera: Any,
    texture_size: Any,
    max_faces: Any,
    max_mb: Any,
    distil: Any,
    redraw: Any,
) -> list[GenerationRequest]:
    """Return the requests that the form's values amount to: each line of the prompt is a thing, and
    each variation a seed, counting up from the one given.

    An emptied field has its default, and 0 stands for the model's own where it has one.

    Raises:
        RequestError: A value cannot be used.
    """
    given = {
        "seed": seed,
        "num_frames": num_frames,
        "elevation_deg": _float(elevation_deg),
        "camera": camera,
        "texture_size": texture_size,
        "max_faces": max_faces,
    }
    lines = [line for line in (prompt or "").splitlines() if line.strip()] or [""]
    count = int(variations) if variations in VARIATIONS else 1
    if len(lines) * count > MAX_REQUESTS:
        raise RequestError(
            f"these are {len(lines) * count} videos, {count} of each of {len(lines)} lines; at "
            f"most {MAX_REQUESTS} can be asked for at once"
        )
    firsts = [
        GenerationRequest(
            prompt=line,
            model=model,
            num_steps=num_steps or None,
            guidance_scale=_float(guidance_scale or None),
            max_mb=_float(max_mb or None),
            distil=distil,
            redraw=redraw_of(redraw),
            video_only=not straight,
            **{name: value for name, value in given.items() if value is not None},
        )
        for line in lines
    ]
    return [
        replace(first, seed=(first.seed + index) % NUM_SEEDS)
        for first in firsts
        for index in range(count)
    ]


def picture_request(
    path: Path,
    sha256: str,
    words: str | None,
    seed: Any,
    models: Sequence[str],
    values: Sequence[Any],
) -> GenerationRequest:
    """Return the request that makes a video of a picture.

    Args:
        path: The picture, whose name is the title where there are no words.
        sha256: Its hash.
        words: What it shows; may be empty.
        seed: The only source of chance.
        models: Those that take pictures; the first stands in for one that does not.
        values: The form's values, whose settings count.

    Raises:
        RequestError: A value cannot be used.
    """
    _, _, _, _, model, *settings = values
    title = " ".join((words or "").split()) or file_title(path, PICTURE_TITLE)
    model = model if model in models else models[0]
    (request,) = read_requests(title, seed, "1", False, model, *settings)
    return replace(request, picture=sha256)


def wishes(
    values: Sequence[Any], takers: Sequence[str]
) -> list[Callable[[], list[GenerationRequest]]]:
    """Return what gives the requests that the form amounts to by words, by a clip, by a picture.

    Each may raise RequestError; nobody has to have typed or chosen anything yet.

    Args:
        values: Of `Form.inputs`.
        takers: The models that take pictures; none where the form has no place for one.
    """
    prompt = values[0] if (values[0] or "").strip() else "-"
    some, unread = Path("-"), "0" * 64
    kinds: list[Callable[[], list[GenerationRequest]]] = [
        lambda: read_requests(prompt, *values[1:]),
        lambda: [clip_request(some, unread, None, values)],
    ]
    if takers:
        kinds.append(lambda: [picture_request(some, unread, None, 0, takers, values)])
    return kinds


def form_values(request: GenerationRequest) -> list[Any]:
    """Return the form's values that amount to a request, in the order of `Form.inputs`."""
    return [
        *(request.prompt, request.seed, "1", not request.video_only),
        *(request.model, request.num_frames, request.num_steps or 0, request.guidance_scale or 0),
        *(request.elevation_deg, request.camera),
        *(request.texture_size, request.max_faces, request.max_mb or 0),
        *(request.distil, request.redraw is not False),
    ]


def _float(value: Any) -> Any:
    # JSON knows one kind of number, so a slider at 15.0 sends 15. Anything else is refused later.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
