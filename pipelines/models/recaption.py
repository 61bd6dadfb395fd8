"""Prompts for models that know no cameras: the wish, put into a model's own style as a turntable.

A text-to-video model turns the camera round an object where its prompt describes such a shot in the
words that it was trained on. The templates below do; a small instruct language model may first
enlarge on the object itself, where one is chosen.
"""

import re
from collections.abc import Callable
from typing import Any

from pipelines.models.large_card import Style

MAX_OBJECT_CHARACTERS = 400

TEMPLATES: dict[Style, str] = {
    "cinematic": (
        "A turntable video of {object}. The object stands perfectly still in the centre of the "
        "frame on a seamless, evenly lit, plain light grey background, while the camera orbits "
        "around it through one full 360 degree turn at a constant speed and a constant height of "
        "{elevation} degrees above it, and ends where it began. Studio lighting, soft shadows, "
        "sharp focus, whole object in view, static scene."
    ),
    "prose": (
        "The camera moves slowly and smoothly in a complete circle around {object}, which stands "
        "motionless in the middle of an empty studio. The background is a plain, uniform light "
        "grey, without texture, floor line or other things. The camera keeps the same distance and "
        "looks down at {elevation} degrees, showing the front, then one side, the back, the other "
        "side, and the front again. The whole object stays in the picture. The light is soft and "
        "even. Nothing else moves."
    ),
    "structured": (
        "Main content: {object}, standing still. Details: its shape, colour and material stay "
        "exactly the same throughout. Movement: the object does not move; only the camera does. "
        "Background: seamless plain light grey studio, soft even light. Camera: one full 360 "
        "degree orbit around the object at a constant speed and distance, looking down at "
        "{elevation} degrees, the whole object centred, ending at the first view."
    ),
    "scene": (
        "A single object, {object}, stands still in an empty studio with a seamless plain light "
        "grey background and soft even light. Nothing in the scene moves."
    ),
}
NEGATIVE = (
    "moving object, rotating parts, morphing, deforming, several objects, people, hands, text, "
    "watermark, busy background, texture in the background, hard shadows, cut, zoom, shaking "
    "camera, cropped, out of frame, blurry, low quality, worst quality, jpeg artefacts"
)
"""What no turntable shall have."""
PICTURE = (
    "A studio photograph of {object}, the whole object in view and centred with room on all sides, "
    "seen from the front and {elevation} degrees above, on a seamless plain light grey background, "
    "soft even light, sharp focus."
)
"""For the image model that draws a first picture."""
INSTRUCTION = (
    "Describe the following object for an artist in one noun phrase of at most 40 words: its "
    "shape, colours, materials and surface. Keep every detail that is given. Name no background, "
    "no light, no camera and no action. Answer with the phrase alone, beginning with 'a' or 'an'. "
    "Object: {object}"
)


def turntable_prompt(wish: str, style: Style, elevation_deg: float) -> str:
    """Return a wish as a turntable shot in a model's style."""
    return TEMPLATES[style].format(object=_phrase(wish), elevation=round(elevation_deg))


def picture_prompt(wish: str, elevation_deg: float) -> str:
    """Return a wish as a picture of one object from the front."""
    return PICTURE.format(object=_phrase(wish), elevation=round(elevation_deg))


def _phrase(wish: str) -> str:
    # Braces in a wish are text, not fields; a full stop in the middle would end the sentence.
    return wish.strip().rstrip(".!?").strip()


def enlarge(wish: str, tokenizer: Any, model: Any) -> str:
    """Return the wish with details that a language model thought of; the wish itself if it fails.

    Args:
        wish: What to make.
        tokenizer: Of the language model, with a chat template.
        model: A causal language model of transformers.
    """
    messages = [{"role": "user", "content": INSTRUCTION.format(object=_phrase(wish))}]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    # Greedy, so that one request has one prompt.
    out = model.generate(**inputs, max_new_tokens=80, do_sample=False)
    answer = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return accepted(answer, wish)


def accepted(answer: str, wish: str) -> str:
    """Return a language model's answer where it is a phrase about the wish, else the wish."""
    phrase = " ".join(answer.strip().strip("\"'").split())
    phrase = re.split(r"(?<=[a-z])[.!?](?:\s|$)", phrase)[0]
    words = set(re.findall(r"\w{3,}", wish.lower()))
    kept = words & set(re.findall(r"\w{3,}", phrase.lower()))
    sensible = 0 < len(phrase) <= MAX_OBJECT_CHARACTERS and phrase[0].isalpha()
    # An answer that lost the wish's own words speaks of something else.
    return phrase if sensible and len(kept) * 2 >= len(words) else _phrase(wish)


Enlarge = Callable[[str], str]
"""A wish to the same wish in more detail."""
