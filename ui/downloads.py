"""What can be taken home, each format with its size."""

import html
from pathlib import Path

from threed.export_formats import FORMATS
from ui.steps import address
from ui.tongues import Language, say
from ui.words import megabytes


def downloads_html(
    files: dict[str, Path], pending: bool, language: Language, *, clip: bool = False
) -> str:
    """Return links to a job's files; nothing where there is none.

    Args:
        files: Servable files by the name of their format.
        pending: More are being made.
        language: The visitor's.
        clip: They are of a video that is no orbit.
    """
    if not files:
        return ""
    links = [
        f'<a class="download" data-format="{known.name}" href="{address(files[known.name])}" '
        f'download="{html.escape(files[known.name].name)}">'
        f"<span>{say(language, _label(known.name, clip))}</span>"
        f"<small>{megabytes(files[known.name].stat().st_size)}</small></a>"
        for known in FORMATS
        if known.name in files and files[known.name].exists()
    ]
    wait = f'<p class="quiet-words" role="status">{say(language, "preparing")}</p>' * pending
    without = f'<p class="quiet-words">{say(language, "closed_dataset")}</p>' * clip
    return (
        f'<section class="section"><h3>{say(language, "downloads")}</h3>'
        f'<div class="download-list">{"".join(links)}</div>{wait}{without}</section>'
    )


def _label(name: str, clip: bool) -> str:
    """Return which words a format is called by: what does not turn is no turntable."""
    return f"clip_{name}" if clip and name in ("gif", "webp") else f"format_{name}"
