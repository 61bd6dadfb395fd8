"""Errors and figures as words for a visitor."""

import html

FIELD_LABELS = {
    "prompt": "The prompt",
    "seed": "The seed",
    "model": "The model",
    "num_frames": "“Frames”",
    "size": "“Frame size”",
    "num_steps": "“Steps”",
    "guidance_scale": "“Guidance”",
    "elevation_deg": "“Camera height”",
    "texture_size": "“Texture size”",
    "max_faces": "“Most triangles”",
}


def sentence(text: str) -> str:
    """Return an error's text as a sentence that calls the fields what the page calls them."""
    text = text.strip()
    field, _, rest = text.partition(" ")
    if field in FIELD_LABELS and rest:
        text = f"{FIELD_LABELS[field]} {rest}"
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def duration(seconds: float) -> str:
    """Return a duration as one says it, no more exact than an estimate is."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 55:
        return f"{5 * round(seconds / 5)} seconds"
    if seconds < 100:
        return "a minute" if seconds < 75 else "a minute and a half"
    return f"{round(seconds / 60)} minutes"


def listing(names: tuple[str, ...] | list[str]) -> str:
    """Return names joined as in a sentence: a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def count(number: int, singular: str, plural: str) -> str:
    """Return a number with its noun, thousands apart."""
    return f"{number:,} {singular if number == 1 else plural}"


def notice(text: str, kind: str = "note") -> str:
    """Return a paragraph that stands out (`note`, `warning` or `error`); the text is escaped."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="notice {kind}" role="{role}">{html.escape(text)}</p>'
