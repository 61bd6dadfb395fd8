"""A large model's pipeline from a folder: safetensors only, no code from elsewhere, no network."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import InstallationError
from pipelines.models import large_card
from pipelines.models.architectures.base import Architecture
from pipelines.models.architectures.cogvideox import CogVideoX
from pipelines.models.architectures.hunyuan15 import Hunyuan15
from pipelines.models.architectures.ltx import Ltx
from pipelines.models.architectures.ltx2 import Ltx2
from pipelines.models.architectures.sana_wm import SanaWM
from pipelines.models.architectures.wan import Wan
from pipelines.models.memory import TRANSFORMER, Mode
from pipelines.models.on_disk import INDEX
from pipelines.models.staging import Stages

ARCHITECTURES: dict[large_card.Architecture, type[Architecture]] = {
    "wan": Wan,
    "ltx": Ltx,
    "ltx2": Ltx2,
    "cogvideox": CogVideoX,
    "hunyuan15": Hunyuan15,
    "sana_wm": SanaWM,
}


def load_architecture(
    name: large_card.Architecture,
    folder: Path,
    mode: Mode,
    device: torch.device | str,
    dtype: torch.dtype = torch.bfloat16,
) -> Architecture:
    """Return a pipeline's networks, placed as the mode says.

    Args:
        name: The family.
        folder: As a download or `save_pretrained` leaves it.
        mode: How the networks share the device.
        device: Where they work.
        dtype: What they compute in.

    Raises:
        InstallationError: The folder holds no such pipeline, or a file is missing or damaged.
    """
    kind = ARCHITECTURES[name]
    _check_index(folder, kind)
    import diffusers

    _be_quiet()
    pipeline_class = getattr(diffusers, kind.pipeline_name)
    try:
        pipeline = pipeline_class.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **dict.fromkeys(_unused(folder, kind)),
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InstallationError(
            f"{folder} cannot be loaded as {kind.pipeline_name}: {_first_line(error)}"
        ) from error
    stages = Stages(pipeline, kind.parts, mode, device)
    _tile(pipeline.vae)
    return kind(pipeline, stages)


def transformer_class(name: large_card.Architecture, folder: Path) -> Any:
    """Return diffusers' class of a pipeline's transformer.

    Raises:
        InstallationError: The folder holds no such pipeline.
    """
    import diffusers

    _check_index(folder, ARCHITECTURES[name])
    index = json.loads((folder / INDEX).read_text("utf-8"))
    library, class_name = index[TRANSFORMER]
    found = getattr(diffusers, class_name, None) if library == "diffusers" else None
    if found is None:
        raise InstallationError(f"{folder} has a transformer that is none of diffusers'")
    return found


def load_transformer(
    name: large_card.Architecture, folder: Path, dtype: torch.dtype = torch.bfloat16
) -> Any:
    """Return a pipeline's transformer alone, on the CPU, ready for inference.

    Raises:
        InstallationError: The folder holds no such pipeline, or a file is missing or damaged.
    """
    kind = transformer_class(name, folder)
    _be_quiet()
    try:
        transformer = kind.from_pretrained(
            folder / TRANSFORMER, torch_dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InstallationError(
            f"{folder / TRANSFORMER} cannot be loaded: {_first_line(error)}"
        ) from error
    return transformer.eval().requires_grad_(False)


def _check_index(folder: Path, kind: type[Architecture]) -> None:
    """Refuse a folder whose index names code of its own or lacks a network."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        entries = {name: tuple(value) for name, value in index.items() if isinstance(value, list)}
    except (OSError, ValueError, AttributeError) as error:
        raise InstallationError(f"{folder / INDEX} is missing or damaged: {error}") from error
    lacking = [name for name in kind.parts if name not in entries]
    if lacking:
        raise InstallationError(f"{folder} is no {kind.pipeline_name}: it has no {lacking[0]}")
    for name, (library, *_) in entries.items():
        # What is neither of these would be a module of the repository's own.
        known = library is None or library in ("diffusers", "transformers")
        if not known and importlib.util.find_spec(f"diffusers.pipelines.{library}") is None:
            raise InstallationError(
                f"{folder} wants its own code for {name} ({library}), which is never run"
            )


def _unused(folder: Path, kind: type[Architecture]) -> list[str]:
    index = json.loads((folder / INDEX).read_text("utf-8"))
    return [name for name in kind.unused if name in index]


def _tile(vae: object) -> None:
    """Decode tile by tile: large clips would not fit at once, small ones are one tile anyway."""
    enable = getattr(vae, "enable_tiling", None)
    if enable is not None:
        enable()


def _be_quiet() -> None:
    """Silence the libraries' own bars and advice: whoever drives the generator draws a bar."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
