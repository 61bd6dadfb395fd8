"""What little English grammar captions need."""


def with_article(name: str) -> str:
    """Return the indefinite article that the name takes, with a plural taking none."""
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return ""
    return "an" if name[0].lower() in "aeio" or name.startswith("um") else "a"


def plain_prompt(name: str) -> str:
    """Return what a person would type for a thing of this name ("a chair", "cherries")."""
    return f"{with_article(name)} {name}".strip()
