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
from pipelines.motions import DETERMINED
from pipelines.video.checkpoint import load_tensors
from pipelines.video.text import TEXT_WIDTH

ARTICLE = re.compile(r"^(an?|the|some|one) ")
# What follows a noun and describes it: there its phrase ends.
AFTER_NOUN = re.compile(
    r",? (with|without|in|on|of|for|from|like|made|full|that|which|who|at|under) "
)
JOINED = re.compile(r",? and |, ?")
"""What joins words that describe one noun, or nouns."""
COLOUR_BEHIND = re.compile(r"(?: in|,) ([a-z]+)(?: and ([a-z]+))?$")
"""What says of a noun before it which colour it has ("a rocket in red and white")."""
PLAINER = 0.02
"""Similarity that a word more in a name must bring."""
LONGEST_NOUN = 4
"""Words of the longest noun that is looked for."""
NOUN_ALONE = 0.62
"""Similarity from which a noun alone means a known thing. Short texts are near each other for their
spelling or their subject ("cat" to "catsup", "monkey" to "banana") as much as for their meaning."""
WORD_MORE = 0.1
"""What every further word that tells of the thing takes off that."""
COMPOUND = 0.6
"""Similarity from which a noun with another before it means a known thing: a name is near for one
of the two alone ("hockey stick" to "popsicle stick", "frying pan" to "stove")."""
ADJECTIVE = re.compile("(ical|ic|ous|ful|less|ish|ive|able)$")
"""How words end that describe a noun instead of making another of it ("a mechanical android")."""
NOUN_IN_FRONT = 0.8
"""Similarity from which a noun alone means what a longer name begins with it: a train is a train
locomotive, but a lion is no lionfish and a peanut no peanut butter."""
# fmt: off
# Words that do not tell one thing from another: grammar, and how any thing may look.
TELLS_NOTHING = frozenset({
    "a", "an", "the", "some", "my", "your", "his", "her", "its", "our", "their", "this", "that",
    "two", "three", "with", "without", "in", "on", "of", "for", "from", "like", "at", "under",
    "and", "which", "who", "is", "are",
    "small", "little", "tiny", "big", "large", "huge", "tall", "short", "long", "old", "new",
    "fat", "thin", "cute", "pretty", "nice", "beautiful", "wooden", "golden", "plastic",
})
# fmt: on


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
        if ARTICLE.sub("", _plain(prompt)) in self.words:
            return True
        phrases = [phrase.split() for phrase in _noun_phrases(prompt)]
        return any(
            " ".join(words[-count:]) in self.words
            for words in phrases
            for count in range(1, LONGEST_NOUN + 1)
        )

    def looked_up(self, prompt: str) -> str:
        """Return the words by which what a prompt means is looked for.

        A noun alone has the article that everything was explained with, and no colour: it would be
        near to what has that colour ("a purple rocket": purple flower).
        """
        telling = self._telling(prompt)
        if len(telling) != 1 or self.called_by_name(prompt):
            return prompt
        return plain_prompt(telling[0])

    def meant(self, prompt: str, nearest: list[KnownName], least: float) -> str | None:
        """Return the first of the names nearest to a prompt; None where that is not near enough.

        Args:
            prompt: Of one thing.
            nearest: What is nearest to it as it is `looked_up`.
            least: Similarity that is asked for at least, however much the prompt says.
        """
        if not nearest:
            return None
        name = nearest[0].name
        least = max(least, self.least_similarity(prompt, name))
        return name if nearest[0].similarity >= least else None

    def least_similarity(self, prompt: str, name: str) -> float:
        """Return how near a name must be to be what a prompt means; 0 for a prompt by name."""
        if self.called_by_name(prompt):
            return 0.0
        telling = self._telling(prompt)
        if len(telling) == 1 and name.startswith(telling[0]):
            plural = name.removeprefix(telling[0]) in ("s", "es")
            return NOUN_ALONE if plural else NOUN_IN_FRONT
        if self._is_compound(prompt, telling):
            return COMPOUND
        return NOUN_ALONE - WORD_MORE * max(0, len(telling) - 1)

    def _telling(self, prompt: str) -> list[str]:
        """Return the words of a prompt that tell what its thing is, in lower case."""
        words = re.findall(r"[\w'-]+", ARTICLE.sub("", _plain(prompt)))
        nothing = TELLS_NOTHING | self.colours
        return [word for word in words if word not in nothing]

    def _is_compound(self, prompt: str, telling: list[str]) -> bool:
        """Return whether a prompt is of two nouns that name one thing together."""
        alone = not AFTER_NOUN.search(_plain(prompt)) and not JOINED.search(_plain(prompt))
        return alone and len(telling) == 2 and not ADJECTIVE.search(telling[0])

    def renamed(self, prompt: str, name: str) -> str:
        """Return a name as a caption, in the colours that the prompt gives its noun."""
        behind = COLOUR_BEHIND.search(_plain(prompt))
        words = [word for phrase in _noun_phrases(prompt) for word in phrase.split()]
        words += [word for word in (behind.groups() if behind else ()) if word]
        wanted = [word for word in dict.fromkeys(words) if word in self.colours]
        given = " ".join(word for word in name.split() if word not in self.colours)
        if wanted and given:
            # As two colours were taught.
            name = f"{' and '.join(wanted[:2])} {given}"
        elif given in self.names:
            # No colour was asked for.
            name = given
        return plain_prompt(name)


def _plain(prompt: str) -> str:
    """Return a prompt in lower case, without what ends a sentence, in the words for colours."""
    return re.sub(r"\bgray\b", "grey", prompt.strip().lower().rstrip(".!"))


def _noun_phrases(prompt: str) -> list[str]:
    """Return what stands before all that describes the prompt's thing from behind, in pieces.

    In "a big, red and blue chair with arms" each of the pieces may end in the noun; what has an
    article of its own is another thing.
    """
    first, *others = JOINED.split(AFTER_NOUN.split(ARTICLE.sub("", _plain(prompt)))[0])
    return [first, *(piece for piece in others if not DETERMINED.match(piece))]
