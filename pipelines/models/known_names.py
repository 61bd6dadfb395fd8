"""The things that the embedded model has seen: by name, in other words, and by what they mean.

They find what a prompt in words of its own means ("a cask for beer": barrel), so that the network
may be asked in the words that it was taught: recaptioning, as DALL-E 3 and Sora do it with a
language model.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.english import plain_prompt
from pipelines.models.protocol import KnownName
from pipelines.video.checkpoint import load_tensors
from pipelines.video.text import TEXT_WIDTH

ARTICLE = re.compile(r"^(an?|the|some|one) ")
# What follows a noun and describes it: there its phrase ends.
AFTER_NOUN = re.compile(
    r",| (with|without|in|on|of|for|from|like|made|full|that|which|who|and|at|under) "
)
PLAINER = 0.02
"""Similarity that a word more in a name must bring."""
LONGEST_NOUN = 4
"""Words of the longest noun that is looked for."""


@dataclass(frozen=True, kw_only=True)
class KnownNames:
    """Names with the embeddings of all that each is called and explained by."""

    names: list[str]
    embeddings: Float[Tensor, "text channel"]
    """Unit length."""
    owner: Int[Tensor, " text"]
    """Which name each text stands for."""
    words: frozenset[str]
    """The names and what else they are called, in lower case."""
    colours: frozenset[str]
    """Words that are kept when a thing is called by its name."""

    @classmethod
    def load(cls, path: Path) -> "KnownNames":
        """Return what a model's known.safetensors holds."""
        tensors, metadata = load_tensors(path)
        return cls(
            names=json.loads(metadata["names"]),
            embeddings=tensors["embeddings"].float(),
            owner=tensors["embedded_name"].long(),
            words=frozenset(json.loads(metadata["words"])),
            colours=frozenset(json.loads(metadata["colours"])),
        )

    @classmethod
    def none(cls) -> "KnownNames":
        """Return those of a model that was taught no names yet."""
        return cls(
            names=[],
            embeddings=torch.zeros(0, TEXT_WIDTH),
            owner=torch.zeros(0, dtype=torch.long),
            words=frozenset(),
            colours=frozenset(),
        )

    def nearest(self, pooled: Float[Tensor, " channel"], count: int) -> list[KnownName]:
        """Return the names whose nearest text is nearest to a sentence, the nearest first."""
        similarity = torch.full((len(self.names),), -1.0).scatter_reduce(
            0, self.owner, self.embeddings @ pooled, "amax"
        )
        # Of two that are about as near the plainer is meant: a barrel before a decorated barrel.
        lengths = torch.tensor([float(len(name.split())) for name in self.names])
        plain = similarity - PLAINER * lengths
        order = plain.argsort(descending=True, stable=True)[:count].tolist()
        return [KnownName(name=self.names[i], similarity=float(similarity[i])) for i in order]

    def called_by_name(self, prompt: str) -> bool:
        """Return whether a prompt's noun is one that the model was taught ("a big blue sofa")."""
        phrase = ARTICLE.sub("", prompt.strip().lower().rstrip(".!"))
        if phrase in self.words:
            return True
        words = AFTER_NOUN.split(phrase)[0].split()
        ends = (" ".join(words[-count:]) for count in range(1, LONGEST_NOUN + 1))
        return any(end in self.words for end in ends)

    def renamed(self, prompt: str, name: str) -> str:
        """Return a name as a caption, in the colours that the prompt gives its noun."""
        phrase = AFTER_NOUN.split(ARTICLE.sub("", prompt.strip().lower()))[0]
        wanted = [word for word in phrase.split() if word in self.colours]
        given = [word for word in name.split() if word not in self.colours]
        called = " ".join([*wanted, *given]) if wanted and given else name
        return plain_prompt(called)
