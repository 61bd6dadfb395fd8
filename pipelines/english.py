"""What little English grammar captions need."""

import re

# What follows a noun and describes it: of "wheels of a car" the head is "wheels".
AFTER_HEAD = re.compile(
    r"\s(with|without|of|on|in|at|for|from|like|under|by|full|and|that|which|who)\b", re.IGNORECASE
)
PLURALS = ("people", "children", "men", "women", "geese", "mice", "feet", "teeth")
# Vowels all, but these sound as "won" and "you" do.
AN = re.compile(r"(?!one|eu)[aeio]", re.IGNORECASE)


def indefinite(name: str) -> str:
    """Return the indefinite article of one thing of this name, by the letter it begins with."""
    return "an" if AN.match(name) or name.startswith("um") else "a"


def is_plural(name: str) -> bool:
    """Return whether the noun that a name is about, the last before "with" or "of", is of many."""
    head = AFTER_HEAD.split(name)[0].strip()
    return _ends_as_plural(head) or head.lower().split(" ")[-1] in PLURALS


def with_article(name: str) -> str:
    """Return the indefinite article that the name takes, with a plural taking none."""
    # The captions of the training were written by the last letter of all: the weights that ship
    # were taught "cactus with flowers".
    return "" if _ends_as_plural(name) or is_plural(name) else indefinite(name)


def plain_prompt(name: str) -> str:
    """Return what a person would type for a thing of this name ("a chair", "cherries")."""
    return f"{with_article(name)} {name}".strip()


def _ends_as_plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))
