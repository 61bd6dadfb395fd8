"""The helpers of large models: an image model for first pictures, a language model for prompts.

Each is loaded, used once and let go, because a video model needs the memory next.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from pipelines.errors import InstallationError
from pipelines.models.large_card import HelperCard
from pipelines.models.memory import Mode
from pipelines.models.recaption import enlarge
from pipelines.models.staging import Stages

PICTURE_PARTS = ("text_encoder", "transformer", "vae")


def draw_picture(
    card: HelperCard,
    folder: Path,
    prompt: str,
    side: int,
    seed: int,
    mode: Mode,
    device: torch.device | str,
    dtype: torch.dtype = torch.bfloat16,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a square picture that an image model draws of a prompt.

    Raises:
        InstallationError: The image model cannot be loaded.
    """
    import diffusers

    pipeline: Any
    try:
        pipeline = diffusers.ZImagePipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InstallationError(
            f"the image model {card.name!r} cannot be loaded: {error}"
        ) from error
    stages = Stages(pipeline, PICTURE_PARTS, mode, device)
    pipeline.set_progress_bar_config(disable=True)
    noise_shape = (
        1,
        pipeline.transformer.in_channels,
        2 * (side // (2 * pipeline.vae_scale_factor)),
        2 * (side // (2 * pipeline.vae_scale_factor)),
    )
    # Drawn on the CPU, so that a seed is the same picture everywhere.
    noise = torch.randn(noise_shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        with stages.at_work("text_encoder"):
            embeds, _ = pipeline.encode_prompt(
                prompt, device=stages.device, do_classifier_free_guidance=False
            )
        with stages.at_work("transformer", "vae"):
            pictures = pipeline(
                prompt_embeds=embeds,
                height=side,
                width=side,
                num_inference_steps=card.num_steps,
                guidance_scale=card.guidance_scale,
                latents=noise.to(stages.device),
                output_type="np",
            ).images
    return (np.asarray(pictures[0]) * 255).round().astype(np.uint8)


def enlarge_wish(card: HelperCard, folder: Path, wish: str, device: torch.device | str) -> str:
    """Return a wish in more detail, as a language model of transformers puts it.

    Raises:
        InstallationError: The language model cannot be loaded.
    """
    import transformers

    model: Any
    try:
        settings = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=torch.bfloat16, **settings
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InstallationError(
            f"the language model {card.name!r} cannot be loaded: {error}"
        ) from error
    with torch.no_grad():
        return enlarge(wish, tokenizer, model.to(device).eval())
