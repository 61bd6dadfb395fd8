"""Ways of making a transformer faster that cost memory, exactness or a slow first step.

All are diffusers' own and all are off unless asked for, through the environment of the process that
draws: LATHE_ATTENTION names an attention back end, LATHE_CACHE=first-block skips blocks whose input
hardly changed since the last step, LATHE_COMPILE=1 compiles the repeated blocks.
"""

import os
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipelines.errors import RequestError

Cache = Literal["none", "first-block"]
FIRST_BLOCK_THRESHOLD = 0.05


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What is switched on."""

    attention: str | None = None
    """A back end by diffusers' name, such as `flash` or `sage`; None is torch's own."""
    cache: Cache = "none"
    compile: bool = False


def speed_from_environment() -> Speed:
    """Return what the environment asks for; RequestError for a value that there is not."""
    asked = os.environ.get("LATHE_CACHE", "none")
    if asked not in get_args(Cache):
        raise RequestError(f"LATHE_CACHE is {asked!r}; it can be {' or '.join(get_args(Cache))}")
    cache: Cache = "first-block" if asked == "first-block" else "none"
    return Speed(
        attention=os.environ.get("LATHE_ATTENTION") or None,
        cache=cache,
        compile=os.environ.get("LATHE_COMPILE", "0") not in ("", "0"),
    )


def apply_speed(transformer: Any, speed: Speed) -> None:
    """Switch a transformer's shortcuts on.

    Raises:
        RequestError: The network or the installation does not have what is asked for.
    """
    from diffusers import FirstBlockCacheConfig

    if speed.attention is not None:
        try:
            transformer.set_attention_backend(speed.attention)
        except (ValueError, RuntimeError, ImportError, AttributeError) as error:
            raise RequestError(
                f"LATHE_ATTENTION is {speed.attention!r}, which cannot be used: {error}"
            ) from error
    if speed.cache == "first-block":
        if not hasattr(transformer, "enable_cache"):
            raise RequestError(f"{type(transformer).__name__} has no cache of its first block")
        transformer.enable_cache(FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD))
    if speed.compile:
        transformer.compile_repeated_blocks()


def forget(transformer: Any) -> None:
    """Empty a transformer's caches before a new clip."""
    reset = getattr(transformer, "_reset_stateful_cache", None)
    if reset is not None and getattr(transformer, "is_cache_enabled", False):
        reset()
