"""What may be asked of the chain, checked when it is asked. Knows neither torch nor any model."""

import dataclasses
import json
import re
import unicodedata
from dataclasses import dataclass

from pipelines.errors import RequestError
from threed.file_size import MB_RANGE

MAX_PROMPT_CHARACTERS = 500
NUM_SEEDS = 2**32
FRAMES_RANGE = (8, 96)
SIZE_RANGE = (32, 1024)
SIZE_MULTIPLE = 16
STEPS_RANGE = (1, 200)
GUIDANCE_RANGE = (0.0, 20.0)
ELEVATION_RANGE_DEG = (-30.0, 60.0)
CLIP_ELEVATION_RANGE_DEG = (-80.0, 80.0)
CLIP_FOV_RANGE_DEG = (5.0, 120.0)
HASH_PATTERN = re.compile(r"[0-9a-f]{64}")
CLIP_NAME, PICTURE_NAME = "source", "picture"
"""In a run folder: the visitor's own clip or picture, whatever it was called."""
SEEN_NAME = "picture.png"
"""Beside the picture, once the run began: what was cut out of it, small."""
MADE_WITH = "made_with"
"""In request.json beside the request's own fields: by what the run was made."""
TEXTURE_SIZES = (512, 1024, 2048, 4096)
FACES_RANGE = (1_000, 200_000)
TRIES_RANGE = (1, 16)
CAMERAS = (
    *("auto", "orbit", "still", "zoom-in", "zoom-out", "dolly-in", "dolly-out"),
    *("crane-up", "crane-down", "arc"),
)
"""What the camera may do; a mesh needs one of `ORBITS`."""
ORBITS = ("auto", "orbit")
RECAPTIONS = ("template", "none")
"""How a prompt is put into a large model's own style; the name of a language model is a third."""
MAX_REVISION_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One wish: words, a seed and how the result should be made.

    Whether a model exists, and which sizes and lengths it takes, is the catalogue's to say.

    Raises:
        RequestError: A field has a value that cannot be used; names the field, the value that was
            given and what is allowed.
    """

    prompt: str
    """What to make, in words; runs of white space count as one space."""
    seed: int = 0
    """The only source of chance: the same request and seed make the same result."""
    model: str = "embedded"
    """A name from the catalogue of video models."""
    num_frames: int = 24
    """Frames in the orbit video, one full turn."""
    size: int | None = None
    """Width and height of the video, pixels; None is the model's own."""
    num_steps: int | None = None
    """Denoising steps; None is the model's own number."""
    guidance_scale: float | None = None
    """How strongly the words steer; 1 is off, None is the model's own strength."""
    elevation_deg: float = 15.0
    """Height of the orbit's cameras above the horizon, degrees."""
    camera: str = "auto"
    """What the camera does, of `CAMERAS`: `auto` goes once around the object, but stands still
    where only a video is asked for, the words let the object move, and the model has learnt that;
    all but `auto` and `orbit` make a video only."""
    texture_size: int = 1024
    """Width and height of the texture, pixels."""
    max_faces: int = 20_000
    """The mesh has at most so many triangles."""
    max_mb: float | None = None
    """The mesh's file has at most so many megabytes, for which texture and triangles give way;
    None is no limit."""
    revision: str | None = None
    """A large model's branch, tag or commit; None is the one that the catalogue names."""
    num_tries: int | None = None
    """Clips that a large model without cameras draws, of which the one that agrees best is kept;
    None is the model's own number."""
    recaption: str = "template"
    """How the prompt is put into the model's own words: `template` (a large model's style, or the
    name of what the embedded one knows that is meant), `none`, or the name of a language model of
    the catalogue, for a large model."""
    commercial: bool = False
    """The result shall earn money; a model whose licence does not allow that is refused."""
    video_only: bool = False
    """Stop when the orbit video is made."""
    distil: bool = True
    """Refine the field with the video model before the mesh is taken from it."""
    redraw: bool | None = None
    """Draw the video again, once there is a shape, by what its views agree on, and take the texture
    from that; None does so with a model whose videos were seen to gain."""
    clip: str | None = None
    """SHA-256 of the visitor's own clip, which takes the place of a model's video; the prompt is
    then its name. None: the model draws the video."""
    picture: str | None = None
    """SHA-256 of the visitor's own picture of an object, which the model is given beside the words;
    `elevation_deg` is then the height of its camera too. None: words alone."""
    clip_elevation_deg: float | None = None
    """Height of the clip's camera, degrees; None is measured."""
    clip_fov_deg: float | None = None
    """Vertical field of view of the clip's camera, degrees; None is measured."""

    def __post_init__(self) -> None:
        # A frozen dataclass may still settle its own fields here, once.
        object.__setattr__(self, "prompt", _checked_prompt(self.prompt))
        _check_integer("seed", self.seed, 0, NUM_SEEDS - 1)
        if not isinstance(self.model, str) or not self.model:
            raise RequestError(f"model is {self.model!r}; it must be a name from the catalogue")
        _check_integer("num_frames", self.num_frames, *FRAMES_RANGE)
        if self.size is not None:
            _check_integer("size", self.size, *SIZE_RANGE)
            if self.size % SIZE_MULTIPLE:
                raise RequestError(
                    f"size is {self.size}; it must be a multiple of {SIZE_MULTIPLE} pixels"
                )
        if self.num_steps is not None:
            _check_integer("num_steps", self.num_steps, *STEPS_RANGE)
        if self.guidance_scale is not None:
            self._settle_number("guidance_scale", *GUIDANCE_RANGE)
        self._settle_number("elevation_deg", *ELEVATION_RANGE_DEG)
        self._check_camera()
        _check_integer("texture_size", self.texture_size, TEXTURE_SIZES[0], TEXTURE_SIZES[-1])
        if self.texture_size not in TEXTURE_SIZES:
            allowed = ", ".join(str(size) for size in TEXTURE_SIZES)
            raise RequestError(f"texture_size is {self.texture_size}; it must be one of {allowed}")
        _check_integer("max_faces", self.max_faces, *FACES_RANGE)
        if self.max_mb is not None:
            self._settle_number("max_mb", *MB_RANGE)
        _check_hash("clip", self.clip)
        _check_hash("picture", self.picture)
        if self.clip is not None and self.picture is not None:
            raise RequestError("both a clip and a picture are given; only one of them can be used")
        if self.redraw is not None and not isinstance(self.redraw, bool):
            raise RequestError(f"redraw is {self.redraw!r}; it must be true, false or null")
        if self.redraw and self.upload_name is not None:
            given = "a clip of one's own" if self.clip is not None else "what a picture shows"
            raise RequestError(f"redraw is true; {given} is not drawn again")
        if self.clip_elevation_deg is not None:
            self._settle_number("clip_elevation_deg", *CLIP_ELEVATION_RANGE_DEG)
        if self.clip_fov_deg is not None:
            self._settle_number("clip_fov_deg", *CLIP_FOV_RANGE_DEG)
        if self.num_tries is not None:
            _check_integer("num_tries", self.num_tries, *TRIES_RANGE)
        _check_name("recaption", self.recaption)
        if self.revision is not None:
            _check_name("revision", self.revision)
        for name in ("video_only", "distil", "commercial"):
            if not isinstance(getattr(self, name), bool):
                raise RequestError(f"{name} is {getattr(self, name)!r}; it must be true or false")

    def _check_camera(self) -> None:
        """Refuse a camera that is none, or that does not do for what is to be made."""
        if self.camera not in CAMERAS:
            allowed = ", ".join(CAMERAS)
            raise RequestError(f"camera is {self.camera!r}; it must be one of {allowed}")
        if self.camera in ORBITS:
            return
        given = f"camera is {self.camera!r}; "
        if self.clip is not None:
            raise RequestError(f"{given}a clip of one's own was filmed, so leave it at 'auto'")
        if self.picture is not None:
            raise RequestError(f"{given}what a picture shows is drawn with the camera 'orbit'")
        if self.video_only is False:
            raise RequestError(
                f"{given}a mesh needs the 'orbit'; choose that, or ask for the video only"
            )

    def _settle_number(self, name: str, lowest: float, highest: float) -> None:
        """Store the field as a float, so that 15 and 15.0 are one request, or raise."""
        given = getattr(self, name)
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        # Neither infinities nor what is no number lie in any range.
        if not is_number or not lowest <= given <= highest:
            raise RequestError(
                f"{name} is {given!r}; it must be a number from {lowest:g} to {highest:g}"
            )
        object.__setattr__(self, name, float(given))

    @property
    def upload_name(self) -> str | None:
        """What the visitor's own file is called in the run folder; None where words are all."""
        if self.clip is not None:
            return CLIP_NAME
        return None if self.picture is None else PICTURE_NAME

    def to_json(self) -> str:
        """Return the request as a JSON object, every field written out."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "GenerationRequest":
        """Return the request that `to_json` or a run wrote; fields left out have their defaults.

        Raises:
            RequestError: The text is no JSON object, a key is unknown or a value is not allowed.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise RequestError(f"the request is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise RequestError(f"the request is a JSON {type(values).__name__}, not an object")
        values.pop(MADE_WITH, None)
        # What earlier versions counted; a run of theirs lies there finished as it was.
        values.pop("redraws", None)
        known = {field.name for field in dataclasses.fields(GenerationRequest)}
        if unknown := sorted(values.keys() - known):
            raise RequestError(
                f"the request has unknown keys {', '.join(unknown)}; "
                f"known are {', '.join(sorted(known))}"
            )
        if "prompt" not in values:
            raise RequestError("the request has no prompt; say what to make, in words")
        return GenerationRequest(**values)


def _checked_prompt(prompt: str) -> str:
    """Return the prompt with its white space settled, or raise RequestError."""
    if not isinstance(prompt, str):
        raise RequestError(f"prompt is {prompt!r}; it must be text")
    prompt = " ".join(prompt.split())
    # Marks that print nothing (zero-width spaces, joiners) do not make a prompt by themselves.
    if not any(unicodedata.category(character)[0] not in "ZC" for character in prompt):
        raise RequestError(
            "prompt is empty; say what to make, in 1 to "
            f"{MAX_PROMPT_CHARACTERS} characters, for instance 'a wooden chair'"
        )
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise RequestError(
            f"prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are allowed"
        )
    for position, character in enumerate(prompt, start=1):
        # Control characters, and lone surrogates, which no file could hold.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise RequestError(
                f"prompt has the control character U+{ord(character):04X} at position {position}; "
                "only printable text is allowed"
            )
    return prompt


def _check_integer(name: str, given: int, lowest: int, highest: int) -> None:
    # True is an int to Python, but nobody means it as a number of frames.
    if not isinstance(given, int) or isinstance(given, bool) or not lowest <= given <= highest:
        raise RequestError(
            f"{name} is {given!r}; it must be a whole number from {lowest} to {highest}"
        )


def _check_hash(name: str, given: str | None) -> None:
    if given is not None and not (isinstance(given, str) and HASH_PATTERN.fullmatch(given)):
        raise RequestError(f"{name} is {given!r}; it must be a SHA-256 in hexadecimal")


def _check_name(name: str, given: str) -> None:
    """Refuse what is no name of a branch, commit or model; such names become parts of paths."""
    if (
        not isinstance(given, str)
        or not 0 < len(given) <= MAX_REVISION_CHARACTERS
        or not all(character.isalnum() or character in "._-/" for character in given)
        or ".." in given
        or given.startswith(("/", "-"))
    ):
        raise RequestError(
            f"{name} is {given!r}; it must be a name of letters, digits, dots, dashes and slashes"
        )
