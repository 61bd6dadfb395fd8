"""The card of the model that ships with the program; loads neither torch nor the model."""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import InstallationError, RequestError
from pipelines.hashing import file_sha256
from pipelines.models.limits import check_limits
from pipelines.request import GenerationRequest

CHECKSUMS_NAME = "SHA256SUMS"
"""Beside the weights, one line a file, as `sha256sum` writes them."""
SETTINGS_NAME = "settings.json"
"""What the weights were made for: size, max_frames and more."""
KNOWN_NAME = "known.safetensors"
"""What the model has seen: names and features, which nobody would call parameters."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedCard:
    """What there is to know of the embedded model before it is loaded."""

    name: str
    """What a request calls it."""
    title: str
    """What a person calls it."""
    licence: str
    """Of the weights."""
    description: str
    """What it does and what it needs, in two sentences."""
    folder: Path
    """Holds the weights and their checksums."""

    @property
    def redraws(self) -> bool:
        """Whether its videos are drawn again where a request does not say: they become truer."""
        return True

    def runnable(self) -> bool:
        """Return whether every file of the weights is here; a look, without reading them."""
        try:
            return all((self.folder / name).is_file() for name in self._checksums())
        except InstallationError:
            return False

    def num_parameters(self) -> int:
        """Return how many numbers the weights hold, as their headers say.

        Raises:
            InstallationError: The weights are missing or damaged.
        """
        files = [name for name in self._checksums() if name.endswith(".safetensors")]
        return sum(_count_parameters(self.folder / name) for name in files if name != KNOWN_NAME)

    def verify(self) -> None:
        """Read every file of the weights and compare it with its checksum.

        Raises:
            InstallationError: A file is missing or is not what was shipped.
        """
        for name, expected in self._checksums().items():
            path = self.folder / name
            try:
                found = file_sha256(path)
            except OSError as error:
                raise self._broken(f"{path} cannot be read ({error.strerror})") from error
            if found != expected:
                raise self._broken(
                    f"{path} is damaged: its SHA-256 is {found[:12]}..., not {expected[:12]}..."
                )

    def sha256(self) -> str:
        """Return one hash of all files of the weights: that of their names' and hashes' list.

        Raises:
            InstallationError: The checksums are missing or damaged.
        """
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._checksums().items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def weights(self, revision: str | None = None) -> dict[str, str]:
        """Return which weights these are: their hash. They have one revision."""
        return {"sha256": self.sha256()}

    @property
    def max_frames(self) -> int:
        """The longest clip that the model makes, frames; InstallationError where nothing says."""
        return self._setting("max_frames")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the clips that it makes, pixels; InstallationError where nothing says."""
        return (self._setting("size"),)

    @property
    def image(self) -> bool:
        """Whether it takes a picture of the object; weights that do not say so do not."""
        return self._has_learnt("pictures")

    @property
    def moves(self) -> bool:
        """Whether it follows other cameras than the orbit's, and words for motion."""
        return self._has_learnt("moves")

    def _has_learnt(self, key: str) -> bool:
        path = self.folder / SETTINGS_NAME
        try:
            return json.loads(path.read_text("utf-8")).get(key, False) is True
        except (OSError, ValueError, AttributeError):
            # Whoever runs the model says what is wrong with it.
            return False

    def check(self, request: GenerationRequest) -> None:
        """Refuse what the model cannot make, without loading it.

        Raises:
            RequestError: The clip is too long or of another size, or a revision is named.
            InstallationError: The weights' settings are missing or damaged.
        """
        if request.revision is not None:
            raise RequestError(
                f"revision is {request.revision!r}; the model {self.name!r} ships with the program "
                "and has no other"
            )
        check_limits(request, max_frames=self.max_frames, sizes=self.sizes)

    def _setting(self, key: str) -> int:
        path = self.folder / SETTINGS_NAME
        try:
            return int(json.loads(path.read_text("utf-8"))[key])
        except OSError as error:
            raise self._broken(f"{path} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._broken(f"{path} is damaged: no number {key}") from error

    def _checksums(self) -> dict[str, str]:
        path = self.folder / CHECKSUMS_NAME
        try:
            lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines()]
            sums = {name.lstrip("*"): digest.lower() for digest, name in lines}
        except OSError as error:
            raise self._broken(f"{path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise self._broken(f"{path} is damaged: no list of checksums") from error
        if not sums:
            raise self._broken(f"{path} is empty")
        return sums

    def _broken(self, what: str) -> InstallationError:
        return InstallationError(
            f"the weights of the model '{self.name}' are missing or damaged: {what}; "
            "fetch them again (git checkout, or git lfs pull where the host keeps them so)"
        )


def _count_parameters(path: Path) -> int:
    """Count the numbers in a safetensors file: a length of eight bytes, then a JSON header."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 26)))
        shapes = [entry["shape"] for key, entry in header.items() if key != "__metadata__"]
    except (OSError, ValueError, struct.error, KeyError, AttributeError, TypeError) as error:
        raise InstallationError(f"{path} is no safetensors file: {error}") from error
    return sum(math.prod(shape) for shape in shapes)
