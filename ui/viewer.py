"""The mesh to turn: model-viewer with its views and light, turned in step with the video."""

import html

from pipelines.jobs.records import Job
from ui.light import surroundings_address
from ui.tongues import Language, say
from ui.words import button

VIEWS = ("lit", "colour", "matte", "wires")
# The camera of the default orbit (`threed.cameras`), so that mesh and video look the same.
RADIUS, FOV_DEG = 3.2, 40
# 1 shows a texture that holds its light already just as it is.
EXPOSURE, EXPOSURES = 1, (0.25, 2)


def viewer_html(
    source: str, job: Job, language: Language, *, framed: bool = True
) -> tuple[str, str]:
    """Return the viewer, and the tools that stand below it (`assets/script/viewer.js` moves both).

    Args:
        source: Where the browser finds the GLB.
        job: Whose mesh it is.
        language: The visitor's.
        framed: It stands in the default orbit, so it is seen through that orbit's camera.
    """
    alt = html.escape(say(language, "mesh_of", title=job.title))
    polar = 90 - job.request.elevation_deg
    camera = orbit_camera(polar) if framed else f'camera-orbit="0deg {polar:g}deg auto"'
    absent = html.escape(say(language, "no_webgl"))
    return viewer_element(source, alt, camera, absent), _tools(job, language, framed)


def orbit_camera(polar_deg: float) -> str:
    """Return the attributes for the camera of the default orbit, so far from straight above."""
    return (
        f'camera-orbit="0deg {polar_deg:g}deg {RADIUS}m" camera-target="0m 0m 0m" '
        f'field-of-view="{FOV_DEG}deg" min-camera-orbit="auto 0deg 1m" '
        'max-camera-orbit="auto 180deg 8m" min-field-of-view="10deg" max-field-of-view="45deg"'
    )


def viewer_element(source: str, alt: str, camera: str, absent: str = "") -> str:
    """Return the model-viewer element, in the light of the video; the values are escaped.

    Args:
        source: Where the browser finds the GLB.
        alt: What is to be seen.
        camera: Attributes that place the camera.
        absent: What is said where the browser draws no 3D.
    """
    return (
        f'<model-viewer src="{source}" alt="{alt}" data-absent="{absent}" loading="eager" '
        f"camera-controls {camera} "
        'touch-action="pan-y" interaction-prompt="none" tone-mapping="linear" '
        f'environment-image="{surroundings_address()}" exposure="{EXPOSURE}" '
        'shadow-intensity="0.5" shadow-softness="0.9" '
        'interpolation-decay="80"></model-viewer>'
    )


def _tools(job: Job, language: Language, framed: bool) -> str:
    views = "".join(
        f'<label><input type="radio" name="view" value="{view}"'
        f"{' checked' if view == 'lit' else ''}>"
        f"<span>{say(language, f'view_{view}')}</span></label>"
        for view in VIEWS
    )
    in_step = (
        '<label class="in-step"><input type="checkbox" data-tool="in-step" checked>'
        f"{say(language, 'in_step')}</label>"
    )
    other = button("viewer", say(language, "use_other_viewer"), style="quiet", job=job.id)
    size = html.escape(say(language, "size_value", w="{w}", h="{h}", d="{d}"))
    return (
        '<div class="tools">'
        f'<fieldset class="views"><legend>{say(language, "view")}</legend>{views}</fieldset>'
        f"{in_step if framed else ''}"
        f'<label class="light">{say(language, "light")}<input type="range" data-tool="light" '
        f'min="{EXPOSURES[0]}" max="{EXPOSURES[1]}" step="0.05" value="{EXPOSURE}"></label>'
        f'<p class="dimensions">{say(language, "size")}: <span data-text="{size}">…</span></p>'
        f'<p class="help">{say(language, "viewer_help")}</p>'
        f'<div class="acts"><button type="button" class="act quiet" data-tool="fullscreen">'
        f"{say(language, 'fullscreen')}</button>{other}</div></div>"
    )
