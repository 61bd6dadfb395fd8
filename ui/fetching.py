"""Nothing is fetched from an address that a visitor gives.

Where a request has an address in a file's place, Gradio downloads it, from public hosts only. This
program has no use for that, and a server that fetches on a stranger's word is a proxy: so the one
function through which all such downloads go is replaced by a refusal.
"""

from typing import NoReturn

import gradio as gr
from gradio import processing_utils

REFUSAL = "Files are not fetched from addresses; upload the file itself."


async def refuse(url: str, cache_dir: str) -> NoReturn:
    """Raise, in place of the download."""
    raise gr.Error(REFUSAL, print_exception=False)


def forbid_fetching() -> None:
    """Make Gradio refuse every address that stands in a file's place, from now on."""
    processing_utils.async_ssrf_protected_download = refuse
