"""What came out: the orbit video, the mesh to turn, and both to take home."""

import html
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import gradio as gr


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """The components that show a job's results."""

    video: gr.Video
    forming: gr.HTML
    mesh: gr.HTML
    download_mesh: gr.DownloadButton
    download_video: gr.DownloadButton


def build_viewer() -> Viewer:
    """Lay the viewer out in the surrounding Blocks; all of it hidden until there is a result."""
    with gr.Row(elem_id="results"):
        video = gr.Video(
            label="Orbit video",
            show_label=False,
            autoplay=True,
            loop=True,
            visible=False,
            interactive=False,
            buttons=[],
            min_width=260,
            elem_id="orbit-video",
        )
        # One of the two: the field while it forms, then the mesh in its place.
        forming = gr.HTML(visible=False, min_width=260, elem_id="forming")
        mesh = gr.HTML(visible=False, min_width=260, elem_id="mesh")
    with gr.Row(elem_id="downloads"):
        download_mesh = gr.DownloadButton(
            "Download the mesh (GLB)",
            variant="primary",
            visible=False,
            min_width=200,
            elem_id="download-glb",
        )
        download_video = gr.DownloadButton(
            "Download the video (MP4)", visible=False, min_width=200, elem_id="download-mp4"
        )
    return Viewer(
        video=video,
        forming=forming,
        mesh=mesh,
        download_mesh=download_mesh,
        download_video=download_video,
    )


def mesh_html(mesh: Path | None, prompt: str) -> str:
    """Return a viewer for a GLB in Gradio's cache; it starts at the front, as the orbit does."""
    if mesh is None:
        return ""
    return (
        f'<model-viewer src="gradio_api/file={quote(str(mesh))}" '
        f'alt="3D mesh: {html.escape(prompt)}" loading="eager" camera-controls '
        'touch-action="pan-y" camera-orbit="0deg 75deg auto" auto-rotate '
        'rotation-per-second="20deg" interaction-prompt="none" '
        'tone-mapping="neutral" environment-image="neutral" '
        'shadow-intensity="0.7" shadow-softness="0.9"></model-viewer>'
        '<p class="viewer-hint">Drag to turn, scroll or pinch to come closer.</p>'
    )
