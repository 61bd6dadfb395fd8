"""What may be asked: every wrong value is refused in words, every right one survives JSON."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest

from pipelines.errors import RequestError
from pipelines.request import (
    CAMERAS,
    FACES_RANGE,
    FRAMES_RANGE,
    GUIDANCE_RANGE,
    MAX_PROMPT_CHARACTERS,
    NUM_SEEDS,
    ORBITS,
    SIZE_RANGE,
    STEPS_RANGE,
    TEXTURE_SIZES,
)
from pipelines.request import (
    __file__ as REQUEST_FILE,
)


def _as_users_meet_it() -> type:
    """Return the class without the tests' type checks, which come before its own."""
    spec = importlib.util.spec_from_file_location("unchecked_request", REQUEST_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GenerationRequest


GenerationRequest = _as_users_meet_it()


@pytest.mark.parametrize(
    "request_",
    [
        GenerationRequest(prompt="a wooden chair"),
        GenerationRequest(
            prompt="ein Stuhl: „grün“ 🪑, 椅子",
            seed=NUM_SEEDS - 1,
            num_frames=FRAMES_RANGE[1],
            size=SIZE_RANGE[1],
            num_steps=STEPS_RANGE[1],
            guidance_scale=GUIDANCE_RANGE[0],
            elevation_deg=-30,
            camera="crane-down",
            texture_size=TEXTURE_SIZES[0],
            max_faces=FACES_RANGE[0],
            max_mb=0.5,
            video_only=True,
            distil=False,
        ),
    ],
    ids=["defaults", "extremes"],
)
def test_json_gives_back_the_request(request_: GenerationRequest) -> None:
    assert GenerationRequest.from_json(request_.to_json()) == request_


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("seed", -1, "0 to 4294967295"),
        ("seed", NUM_SEEDS, "0 to 4294967295"),
        ("seed", 1.5, "whole number"),
        ("seed", True, "whole number"),
        ("model", "", "catalogue"),
        ("num_frames", 7, "8 to 96"),
        ("num_frames", 97, "8 to 96"),
        ("size", 16, "32 to 1024"),
        ("size", 100, "multiple of 16"),
        ("num_steps", 0, "1 to 200"),
        ("guidance_scale", -0.1, "0 to 20"),
        ("guidance_scale", float("nan"), "0 to 20"),
        ("elevation_deg", 60.1, "-30 to 60"),
        ("elevation_deg", -31.0, "-30 to 60"),
        ("elevation_deg", "high", "-30 to 60"),
        ("camera", "pan", "one of auto, orbit, still, zoom-in,"),
        ("camera", None, "one of auto, orbit, still, zoom-in,"),
        ("camera", "zoom-in", "a mesh needs the 'orbit'"),
        ("texture_size", 1000, "512, 1024, 2048, 4096"),
        ("texture_size", 8192, "512 to 4096"),
        ("max_faces", 999, "1000 to 200000"),
        ("max_faces", 200_001, "1000 to 200000"),
        ("max_mb", 0.05, "0.1 to 1000"),
        ("max_mb", float("inf"), "0.1 to 1000"),
        pytest.param("max_mb", 10**400, "0.1 to 1000", id="no float is so large"),
        pytest.param("elevation_deg", -(10**400), "-30 to 60", id="nor so small"),
        ("num_tries", 17, "1 to 16"),
        ("picture", "chair.png", "a SHA-256"),
        ("revision", "a b", "a name"),
        ("revision", "", "a name"),
        ("recaption", "../x", "a name"),
        ("commercial", "yes", "true or false"),
        ("video_only", 1, "true or false"),
        ("distil", None, "true or false"),
        ("redraw", "yes", "true, false or null"),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(
    field: str, given: object, words: str
) -> None:
    with pytest.raises(RequestError) as caught:
        GenerationRequest(**{"prompt": "a chair", field: given})
    assert str(caught.value).startswith(f"{field} is {given!r}; ")
    assert words in str(caught.value)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\u200b\u200d", "\u3000"])
def test_a_blank_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(RequestError, match="prompt is empty"):
        GenerationRequest(prompt=prompt)


def test_a_clip_and_a_picture_together_are_refused() -> None:
    either = "0" * 64
    assert GenerationRequest(prompt="mug", clip=either).upload_name == "source"
    assert GenerationRequest(prompt="mug", picture=either).upload_name == "picture"
    assert GenerationRequest(prompt="mug").upload_name is None
    with pytest.raises(RequestError, match="both a clip and a picture"):
        GenerationRequest(prompt="mug", clip=either, picture=either)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"clip": "0" * 64}, "was filmed"),
        ({"picture": "0" * 64}, "what a picture shows"),
        ({"video_only": False}, "a mesh needs the 'orbit'; choose that, or ask for the video only"),
    ],
)
def test_only_a_video_of_words_alone_may_have_another_camera_than_the_orbits(
    beside: dict[str, object], words: str
) -> None:
    for camera in CAMERAS:
        asked = {"prompt": "a mug", "video_only": True, "camera": camera}
        assert GenerationRequest(**asked).camera == camera
        if camera in ORBITS:
            assert GenerationRequest(**{**asked, **beside}).camera == camera
            continue
        with pytest.raises(RequestError, match=f"camera is '{camera}'; ") as refused:
            GenerationRequest(**{**asked, **beside})
        assert words in str(refused.value)


def test_a_request_of_before_there_were_cameras_still_reads() -> None:
    fields = json.loads(GenerationRequest(prompt="a chair").to_json())
    del fields["camera"]
    assert GenerationRequest.from_json(json.dumps(fields)).camera == "auto"


def test_an_over_long_prompt_is_refused_with_both_numbers() -> None:
    assert GenerationRequest(prompt="x" * MAX_PROMPT_CHARACTERS)
    with pytest.raises(RequestError, match="501 characters; at most 500"):
        GenerationRequest(prompt="x" * (MAX_PROMPT_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("character", "code"), [("\0", "0000"), ("\x1b", "001B"), ("\ud800", "D8")]
)
def test_a_control_character_is_refused_with_its_place(character: str, code: str) -> None:
    with pytest.raises(RequestError, match=f"U\\+{code}.* at position 3"):
        GenerationRequest(prompt=f"a {character}chair")


def test_white_space_does_not_make_another_request() -> None:
    assert GenerationRequest(prompt=" a\n wooden\t chair ") == GenerationRequest(
        prompt="a wooden chair"
    )


def test_whole_and_decimal_numbers_make_one_request() -> None:
    whole = GenerationRequest(prompt="a chair", elevation_deg=20, guidance_scale=4)
    decimal = GenerationRequest(prompt="a chair", elevation_deg=20.0, guidance_scale=4.0)
    assert whole == decimal
    assert whole.to_json() == decimal.to_json()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chair", "no JSON"),
        ('["chair"]', "not an object"),
        ("{}", "no prompt"),
        ('{"prompt": "a chair", "colour": "red"}', "unknown keys colour"),
        ('{"prompt": "a chair", "seed": "7"}', "seed is '7'"),
        ('{"prompt": 7}', "prompt is 7"),
    ],
)
def test_text_that_is_no_request_is_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        GenerationRequest.from_json(text)


def test_a_request_is_settled_once_it_is_made() -> None:
    request = GenerationRequest(prompt="a chair")
    with pytest.raises(FrozenInstanceError):
        request.seed = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RequestError, match="seed is -3"):
        replace(request, seed=-3)


def test_requests_and_the_catalogue_load_no_torch() -> None:
    code = (
        "import pipelines.request, pipelines.models.catalogue, pipelines.__main__, sys; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
