"""The page's look: a Gradio theme with the system's own fonts, and the style sheet.

Nothing is fetched from anywhere: the page looks the same on a machine without a network.
"""

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ui.tongues import I18N

ASSETS = Path(__file__).resolve().parents[1] / "assets"
STYLE_SHEETS = [ASSETS / "style" / name for name in ("page.css", "form.css", "panel.css")]
SCRIPTS = (
    *("studio/studio.js", "studio/motion.js", "studio/viewer.js"),
    "viewer/model-viewer.min.js",
)
HEAD = "".join(f'<script type="module" src="{script}"></script>' for script in SCRIPTS)
SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Return the theme, light and dark."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        secondary_hue=gr.themes.colors.stone,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=SYSTEM_FONTS,
        font_mono=MONO_FONTS,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_weight="500",
        input_background_fill="white",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_background_fill_dark="*neutral_800",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_400",
        color_accent="*primary_600",
    )


def look() -> dict[str, Any]:
    """Return the arguments of `launch` that dress the page and serve its scripts."""
    served = {"/viewer": ASSETS / "viewer", "/studio": ASSETS / "script"}
    routes = [Mount(at, StaticFiles(directory=folder)) for at, folder in served.items()]
    return {
        "theme": theme(),
        "i18n": I18N,
        "css_paths": STYLE_SHEETS,
        "head": HEAD,
        "app_kwargs": {"routes": routes},
    }
