"""Where the segmentation model's weights lie on this machine, and its networks read from there.

Importing this loads neither torch nor transformers. Nothing is ever fetched from here, no code
that lies beside weights is run, and only safetensors are read.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from threed.errors import InstallationError

if TYPE_CHECKING:
    import torch

VARIABLE = "LATHE_MATTING"
OFF = "off"
NAME = "sam2.1-hiera-tiny"
"""What the catalogue of models calls it."""
REPOSITORY = "facebook/sam2.1-hiera-tiny"
"""On the Hugging Face Hub, whose cache is where it lies once it was fetched."""
KINDS = ("sam2", "sam2_video")
HOW_TO_INSTALL = (
    "or whoever runs this installs a segmentation model, which cuts objects out of any background: "
    f"'python -m pipelines models download {NAME}'"
)
SHARED = "prompt_encoder.shared_embedding.positional_embedding"
SHARED_WITH = "shared_image_embedding.positional_embedding"

Network = Literal["Sam2Model", "Sam2VideoModel"]


def find_weights() -> Path | None:
    """Return the folder of the weights: the environment's, else what was downloaded, else None.

    Raises:
        InstallationError: The environment names a folder that is not there.
    """
    named = os.environ.get(VARIABLE, "")
    if named == OFF:
        return None
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise InstallationError(
                f"{VARIABLE} is {named!r}, which is no folder; it names the one of a SAM 2 with "
                f"config.json and model.safetensors, or is '{OFF}'"
            )
        return folder
    # Here and not above: only who needs the model needs the Hub's library.
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(REPOSITORY, "config.json", cache_dir=constants.HF_HUB_CACHE)
    return Path(found).parent if isinstance(found, str) else None


def load_network(folder: Path, network: Network, device: "torch.device | str") -> Any:
    """Return one of transformers' SAM 2 networks, ready for inference.

    Raises:
        InstallationError: The folder holds no SAM 2, or its weights are missing or damaged.
    """
    _check_folder(folder)
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        loaded, report = getattr(transformers, network).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            # Told in the report, in which they are sought below.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, _first_line(error)) from error
    # What a file lacks would be filled with chance.
    lacking = sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    if lacking == [SHARED]:
        # The network has it twice and writers may keep one.
        loaded.prompt_encoder.shared_embedding.positional_embedding = (
            loaded.shared_image_embedding.positional_embedding
        )
    elif lacking:
        raise _damaged(folder, f"{lacking[0]} is missing or of another size")
    return loaded.to(device).eval().requires_grad_(False)


def _check_folder(folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, "its config.json is missing or damaged") from error
    if kind not in KINDS:
        raise _damaged(folder, f"its config.json is of a {kind!r}, not of a SAM 2")
    if not any(folder.glob("*.safetensors")):
        raise _damaged(folder, "it has no safetensors, and nothing else is read")


def _damaged(folder: Path, reason: str) -> InstallationError:
    return InstallationError(
        f"the segmentation model in {folder} cannot be loaded: {reason}; "
        f"'python -m pipelines models download {NAME}' fetches it anew, and {VARIABLE}={OFF} does "
        "without it"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
