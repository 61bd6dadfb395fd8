"""Whether the values of one of the page's own events are what its components send.

A browser sends nothing else; but whoever writes the request by hand may, and Gradio would stumble.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr
from starlette.exceptions import HTTPException

NO_EVENT = "There is no such event on this page."
WRONG_VALUES = "These are no values of this event."

IsUpload = Callable[[Any], bool]


def check_event(page: gr.Blocks, number: Any, values: Any, is_upload: IsUpload) -> str | None:
    """Return the name by which programs may call an event, or None.

    Args:
        page: The page that has the event.
        number: Which one is meant.
        values: What it is handed.
        is_upload: Says of a value whether it is a file that was uploaded here.

    Raises:
        HTTPException: There is no such event, or its components do not send such values.
    """
    event = page.fns.get(number)
    if event is None or event.fn is None:
        raise HTTPException(404, NO_EVENT)
    if not isinstance(values, list) or len(values) != len(event.inputs):
        raise HTTPException(422, WRONG_VALUES)
    if not all(
        _is_sent_by(component, value, is_upload)
        for component, value in zip(event.inputs, values, strict=True)
    ):
        raise HTTPException(422, WRONG_VALUES)
    return event.api_name if event.api_visibility == "public" else None


def _is_sent_by(component: Any, value: Any, is_upload: IsUpload) -> bool:
    # An emptied field sends nothing, and what is kept between events is not sent at all.
    if value is None or isinstance(component, gr.State | gr.BrowserState):
        return True
    if isinstance(component, gr.File | gr.Image | gr.UploadButton):
        return is_upload(value)
    if isinstance(component, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(component, gr.Number | gr.Slider):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(component, gr.Radio | gr.Dropdown):
        # 1 and 1.0 and true are one to Python.
        return any(type(value) is type(choice) and value == choice for _, choice in _of(component))
    if isinstance(component, gr.Textbox):
        return isinstance(value, str)
    return True


def _of(component: gr.Radio | gr.Dropdown) -> list[tuple[str, Any]]:
    return [(str(label), choice) for label, choice in component.choices]
