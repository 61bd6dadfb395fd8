"""The report of a finished run, in words."""

import html

from threed.report import Report
from ui.words import count


def report_html(text: str | None, seconds: float) -> str:
    """Return a report (the JSON of report.json) as a verdict and its facts; nothing for None.

    Args:
        text: The report.
        seconds: How long the whole run took.
    """
    if text is None:
        return ""
    report = Report.from_json(text)
    facts = {
        "Frames and field agree": f"{report.mean_psnr:.1f} dB",
        "Frames and mesh agree": f"{report.mesh_psnr:.1f} dB",
        "View that fits worst": f"{report.worst_view + 1} of {len(report.psnr)}, "
        f"{report.psnr[report.worst_view]:.1f} dB",
        "Surface": "closed" if report.watertight else "not closed",
        "Mesh": f"{report.num_faces:,} triangles, {report.num_vertices:,} vertices",
        "Texture": f"{report.texture_size} × {report.texture_size} pixels",
        "Light": "baked into the colours" if report.light_baked else "not baked in",
        "File": f"{report.glb_bytes / 1e6:.1f} MB",
        "Made in": count(round(seconds), "second", "seconds"),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<p class="verdict">{html.escape(report.verdict)}</p><dl class="facts">{items}</dl>'
