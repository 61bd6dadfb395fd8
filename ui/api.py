"""The named endpoints as Gradio serves them: to scripts, to agents (MCP) and by plain HTTP."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from pipelines.errors import RequestError
from ui.answers import DEFAULT, MEASURE
from ui.desk import Desk
from ui.endpoints import Endpoints
from ui.upload_endpoints import UploadEndpoints
from ui.uploads import CLIP_TITLE
from ui.words import sentence

# None of them is the page's own, which has its events, and none waits in Gradio's queue.
OPEN = {"queue": False, "api_visibility": "public"}


def add_api(desk: Desk) -> None:
    """Add the endpoints to the surrounding Blocks."""
    endpoints = Endpoints(desk)
    for function in (
        *(endpoints.submit, endpoints.status, endpoints.cancel, endpoints.stop),
        *(endpoints.resume, endpoints.build_3d),
        *(endpoints.share, endpoints.rename, endpoints.delete, endpoints.jobs, endpoints.models),
    ):
        gr.api(_in_words(function), api_name=function.__name__, **OPEN)
    _add_with_files(endpoints, UploadEndpoints(desk))


def _add_with_files(endpoints: Endpoints, uploads: UploadEndpoints) -> None:
    """Add the endpoints that take or give files, which only components can."""
    with gr.Row(visible=False):
        clip = gr.File(label="clip", type="filepath")
        name = gr.Textbox(CLIP_TITLE, label="name")
        elevation_deg = gr.Textbox(MEASURE, label="elevation_deg")
        fov_deg = gr.Number(0, label="fov_deg")
        texture_size = gr.Number(DEFAULT.texture_size, label="texture_size", precision=0)
        max_faces = gr.Number(DEFAULT.max_faces, label="max_faces", precision=0)
        max_mb = gr.Number(0, label="max_mb")
        picture = gr.File(label="picture", type="filepath")
        prompt = gr.Textbox("", label="prompt")
        seed = gr.Number(DEFAULT.seed, label="seed", precision=0)
        model = gr.Textbox("", label="model")
        height_deg = gr.Number(DEFAULT.elevation_deg, label="elevation_deg")
        num_frames = gr.Number(DEFAULT.num_frames, label="num_frames", precision=0)
        num_steps = gr.Number(0, label="num_steps", precision=0)
        guidance_scale = gr.Number(0, label="guidance_scale")
        video_only = gr.Checkbox(DEFAULT.video_only, label="video_only")
        job = gr.Textbox(label="job")
        key = gr.Textbox("", label="key")
        # What `gr.api` makes of a function that returns a dict.
        answer = Api(None, {"type": "object"}, label="answer")
        files = gr.File(label="files", file_count="multiple")
        kind = gr.Textbox("glb", label="format")
        file = gr.File(label="file")
        trigger = gr.Button()
    trigger.click(
        _in_words(uploads.video_to_3d),
        [clip, name, elevation_deg, fov_deg, texture_size, max_faces, key, max_mb],
        answer,
        api_name="video_to_3d",
        **OPEN,
    )
    drawing = [picture, prompt, seed, model, height_deg, num_frames, num_steps, guidance_scale]
    trigger.click(
        _in_words(uploads.picture_to_3d),
        [*drawing, texture_size, max_faces, video_only, key, max_mb],
        answer,
        api_name="picture_to_3d",
        **OPEN,
    )
    trigger.click(
        _in_words(endpoints.result), [job, key], [answer, files], api_name="result", **OPEN
    )
    trigger.click(
        _in_words(endpoints.export), [job, key, kind], [answer, file], api_name="export", **OPEN
    )


def _in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its refusals as words for the caller; all else stays hidden."""

    @functools.wraps(function)
    def call(*values: Any) -> Any:
        try:
            return function(*values)
        except RequestError as error:
            raise gr.Error(sentence(str(error)), print_exception=False) from error

    return call
