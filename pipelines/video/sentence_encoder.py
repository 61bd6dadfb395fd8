"""BERT's encoder in plain torch: words to contextual embeddings.

Devlin et al., "BERT". The same numbers as the class of transformers, to rounding; importing that
one takes longer than everything else that a first clip needs.
"""

import json
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each added and then normalised."""

    def __init__(self, width: int, num_heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(
        self, x: Float[Tensor, "batch token width"], heard: Float[Tensor, "batch 1 1 token"]
    ) -> Float[Tensor, "batch token width"]:
        q, k, v = (
            rearrange(project(x), "b t (h d) -> b h t d", h=self.num_heads)
            for project in (self.query, self.key, self.value)
        )
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=heard)
        x = self.attention_norm(x + self.attention_out(rearrange(found, "b h t d -> b t (h d)")))
        return self.norm(x + self.down(F.gelu(self.up(x))))


NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention_out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}
"""Of a layer's parts, in the files that people share and here."""


class SentenceEncoder(nn.Module):
    """Token embeddings and the layers; no head, for nothing is to be classified."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        # A sentence alone is of the first type.
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.layers = nn.ModuleList(
            EncoderLayer(width, config["num_attention_heads"], config["intermediate_size"], eps)
            for _ in range(config["num_hidden_layers"])
        )

    @classmethod
    def load(cls, folder: Path) -> "SentenceEncoder":
        """Return the encoder of a folder with `config.json` and `model.safetensors`.

        Raises:
            KeyError, RuntimeError: The folder holds another architecture.
        """
        found = load_file(folder / "model.safetensors")
        encoder = cls(json.loads((folder / "config.json").read_text("utf-8")))
        weights = {
            "words.weight": found["embeddings.word_embeddings.weight"],
            "positions.weight": found["embeddings.position_embeddings.weight"],
            "types.weight": found["embeddings.token_type_embeddings.weight"],
        }
        for kind in ("weight", "bias"):
            weights[f"norm.{kind}"] = found[f"embeddings.LayerNorm.{kind}"]
            for layer in range(len(encoder.layers)):
                for theirs, ours in NAMES.items():
                    value = found[f"encoder.layer.{layer}.{theirs}.{kind}"]
                    weights[f"layers.{layer}.{ours}.{kind}"] = value
        encoder.load_state_dict(weights, assign=True)
        return encoder.eval().requires_grad_(False)

    def forward(
        self, ids: Int[Tensor, "batch token"], mask: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token width"]:
        """Return every token's embedding; `mask` is 1 on words and 0 on padding."""
        positions = self.positions.weight[: ids.shape[1]]
        x = self.norm(self.words(ids) + positions + self.types.weight[0])
        heard = torch.zeros(mask.shape, dtype=x.dtype, device=x.device)
        heard = heard.masked_fill(mask == 0, torch.finfo(x.dtype).min)[:, None, None]
        for layer in self.layers:
            x = layer(x, heard)
        return x
