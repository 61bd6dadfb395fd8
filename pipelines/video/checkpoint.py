"""Weights as safetensors, with the configuration as JSON in the file's own metadata; strict."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipelines.errors import InstallationError
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.dit import DiT, DiTConfig

Model = TypeVar("Model", Autoencoder, DiT)


def save_tensors(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial, metadata)
    partial.replace(path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises:
        InstallationError: The file is missing or damaged.
    """
    if not path.is_file():
        raise InstallationError(f"the weights are missing: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise InstallationError(f"the weights are damaged: {path} ({error})") from error


def save_model(model: Autoencoder | DiT, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a model's weights in `dtype` with its configuration."""
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_tensors(tensors, path, {"config": json.dumps(asdict(model.config))})


def load_autoencoder(path: Path) -> Autoencoder:
    """Return the autoencoder of a file, in float32.

    Raises:
        InstallationError: The file is missing, damaged or of another shape.
    """
    tensors, metadata = load_tensors(path)
    config = _config(metadata, path)
    # JSON has no tuples.
    config["levels"] = tuple(tuple(level) for level in config.get("levels", ()))
    return _filled(Autoencoder(AutoencoderConfig(**config)), tensors, path)


def load_transformer(path: Path) -> DiT:
    """Return the transformer of a file, in float32.

    Raises:
        InstallationError: The file is missing, damaged or of another shape.
    """
    tensors, metadata = load_tensors(path)
    return _filled(DiT(DiTConfig(**_config(metadata, path))), tensors, path)


def _config(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    if "config" not in metadata:
        raise InstallationError(f"the weights carry no configuration: {path}")
    return json.loads(metadata["config"])


def _filled(model: Model, tensors: dict[str, Tensor], path: Path) -> Model:
    try:
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise InstallationError(f"the weights do not fit their configuration: {path}") from error
    return model.eval()
