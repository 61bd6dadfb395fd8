"""Names to captions that people would type: word order, articles, colours, synonyms, length."""

import json
import re
from functools import cache
from pathlib import Path

import torch

from pipelines.english import plain_prompt, with_article
from pipelines.motions import Motion, moving_prompt
from pipelines.training.meshes import CaptionRow
from pipelines.training.vocabulary import (
    ADJECTIVES,
    CLEAREST,
    COLOURS,
    COMMON,
    OBSCURE,
    QUALITIES,
    REWRITES,
    SIZES,
    SYNONYMS,
    WOODEN,
)

SHORT_FORMS = ("{a} {name}", "{name}", "{a} {name}", "the {name}")
LONG_FORMS = (
    "a 3D model of {a} {name}",
    "a low-poly {name}",
    "{a} {name} on a white background",
    "a turntable video of {a} {name}",
    "a simple stylised {name}, seen from all sides",
)

SYNONYM_SHARE = 0.3
MEANING_SHARE = 0.15
WOODEN_SHARE = 0.5
"""How often a brown thing of the table is called a wooden one."""


@cache
def definitions() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return other words and the meaning of nouns, by the noun."""
    path = Path(__file__).with_name("definitions.json")
    nouns = json.loads(path.read_text("utf-8"))["nouns"]
    return {noun: (tuple(entry["words"]), entry["meaning"]) for noun, entry in nouns.items()}


def defined_noun(name: str) -> str | None:
    """Return the longest end of a name that is defined ("small round table": table), if any."""
    words = name.split(" ")
    ends = (" ".join(words[start:]) for start in range(len(words)))
    return next((end for end in ends if end in definitions()), None)


def other_words(name: str) -> list[str]:
    """Return the name with its noun replaced by each of its synonyms."""
    others = [
        re.sub(rf"\b{word}\b", other, name)
        for word, other in SYNONYMS.items()
        # "chest" may be called a treasure chest, but a treasure chest is one already.
        if re.search(rf"\b{word}\b", name) and other not in name
    ]
    noun = defined_noun(name)
    if noun is not None:
        rest = name.removesuffix(noun)
        others += [rest + other for other in definitions()[noun][0]]
    return others


def meaning_of(name: str) -> str | None:
    """Return what a name means: its noun's meaning, after the name where it says more."""
    noun = defined_noun(name)
    if noun is None:
        return None
    meaning = definitions()[noun][1]
    return meaning if noun == name else f"{plain_prompt(name)}, {meaning}"


def explained(name: str) -> list[str]:
    """Return the texts by which a prompt in words of its own may find a name."""
    noun = defined_noun(name)
    texts = [name, *other_words(name)]
    if noun is not None:
        meaning = definitions()[noun][1]
        # A meaning alone stands for the plain thing, not for each of its kinds.
        texts += [f"{name}: {meaning}", *([meaning] if noun == name else [])]
    return texts


def readable_name(name: str) -> str:
    """Return the name in English order: size, quality, colour, noun ("shield red": red shield)."""
    name = re.sub(r"\s+", " ", name.strip())
    if name in REWRITES:
        return REWRITES[name]
    words = name.split(" ")
    front = {*SIZES, *QUALITIES, *COLOURS}
    # A noun must remain: "rock" alone stays, "light post" keeps its first word.
    nouns = [word for word in words if word not in front]
    if not nouns or words[0] in front:
        return name
    moved = [word for group in (SIZES, QUALITIES, COLOURS) for word in words if word in group]
    adjectives = [ADJECTIVES.get(word, word) for word in dict.fromkeys(moved)]
    return " ".join([*adjectives, *nouns])


def is_readable(name: str) -> bool:
    """Return whether a reader would know what the name looks like."""
    return name in REWRITES or not OBSCURE & set(name.split(" "))


def choose_rows(
    rows: list[CaptionRow], *, designs_per_name: int, limit: int | None, seed: int
) -> list[CaptionRow]:
    """Return the rows to learn: readable names of few words, some designs of each.

    Names that read alike after rewording count as one. Where there are more names than `limit`, the
    hand-written ones come first, then a draw from the others.
    """
    designs: dict[str, list[CaptionRow]] = {}
    for row in rows:
        if is_readable(row.name):
            designs.setdefault(readable_name(row.name), []).append(row)
    for alike in designs.values():
        alike.sort(key=lambda row: row.name not in CLEAREST)
    written = COMMON | {readable_name(name) for name in REWRITES}
    names = sorted(name for name in designs if name in written or len(name.split(" ")) <= 2)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(names), generator=generator).tolist()
    drawn = sorted((names[i] for i in order), key=lambda name: name not in written)
    return [row for name in drawn[:limit] for row in designs[name][:designs_per_name]]


def captions_for(
    name: str,
    colours: list[str],
    count: int,
    generator: torch.Generator,
    motion: Motion | None = None,
) -> list[str]:
    """Return captions of one object, the plain short one first.

    Args:
        name: The readable name.
        colours: Colour words found in the pixels, the most frequent first.
        count: How many captions.
        generator: Draws the forms.
        motion: What the object does; every caption says so.
    """
    forms = [moving_prompt(motion, plain_prompt(name)) if motion else plain_prompt(name)]
    named = any(colour in name.split(" ") for colour in COLOURS)
    others, meaning = other_words(name), meaning_of(name)
    while len(forms) < count:
        draw = torch.rand(7, generator=generator).tolist()
        noun = name
        if draw[0] < MEANING_SHARE and meaning is not None and motion is None:
            forms.append(meaning)
            continue
        if others and draw[4] < SYNONYM_SHARE:
            noun = others[int(draw[5] * len(others))]
        if colours and not named and draw[1] < 0.35:
            noun = f"{colours[0]} {noun}"
            if len(colours) > 1 and draw[1] < 0.1:
                noun = f"{colours[0]} and {colours[1]} {name}"
        if draw[6] < WOODEN_SHARE and noun.split(" ")[-1] in WOODEN:
            noun = re.sub(r"^brown\b(?! and)", "wooden", noun)
        choices = SHORT_FORMS if draw[2] < 0.75 else LONG_FORMS
        if motion is not None:
            # The form that prompts are put into is asked for most.
            choices = motion.forms[:1] if draw[2] < 0.4 else motion.forms
        form = choices[int(draw[3] * len(choices))]
        forms.append(re.sub(r"\s+", " ", form.format(a=with_article(noun), name=noun)).strip())
    return forms
