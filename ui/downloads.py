"""What can be taken home, each format with its size."""

import html
from pathlib import Path

from threed.export_formats import FORMATS
from ui.steps import address
from ui.tongues import Language, say
from ui.words import megabytes


def downloads_html(files: dict[str, Path], pending: bool, language: Language) -> str:
    """Return links to a job's files; nothing where there is none.

    Args:
        files: Servable files by the name of their format.
        pending: More are being made.
        language: The visitor's.
    """
    if not files:
        return ""
    links = [
        f'<a class="download" data-format="{known.name}" href="{address(files[known.name])}" '
        f'download="{html.escape(files[known.name].name)}">'
        f"<span>{say(language, f'format_{known.name}')}</span>"
        f"<small>{megabytes(files[known.name].stat().st_size)}</small></a>"
        for known in FORMATS
        if known.name in files and files[known.name].exists()
    ]
    wait = f'<p class="quiet-words" role="status">{say(language, "preparing")}</p>' * pending
    return (
        f'<section class="section"><h3>{say(language, "downloads")}</h3>'
        f'<div class="download-list">{"".join(links)}</div>{wait}</section>'
    )
