"""A large model whose transformer is spread over ranks: the leader holds all of it, others that.

Words, encoding, decoding and everything after are the leader's; a follower loads the transformer
alone and computes its share of every call. Weights are whole on every rank: what is spread are the
tokens, and with them intermediate values and time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from pipelines.errors import RequestError
from pipelines.models.choice import next_best
from pipelines.models.diffusers_video import DiffusersVideoModel, open_model
from pipelines.models.large_card import LargeModelCard
from pipelines.models.loading import load_transformer, transformer_class
from pipelines.models.machine import Machine, this_machine
from pipelines.models.memory import MODES, TRANSFORMER, Mode, best_plan, why_not
from pipelines.models.on_disk import Snapshot
from pipelines.models.speed import Speed, speed_from_environment
from pipelines.models.staging import cast_to_fp8
from pipelines.parallel.attention import AttentionKind
from pipelines.parallel.diffusers_transformer import (
    check_spreadable,
    diffusers_handlers,
    spread_diffusers,
)
from pipelines.parallel.environment import local_rank
from pipelines.parallel.ranks import Ranks

GB = 10**9


def check_spread(
    card: LargeModelCard, snapshot: Snapshot, ranks: Ranks, attention: AttentionKind
) -> None:
    """Refuse what cannot be spread, before any weights are read; the same on every rank.

    Raises:
        RequestError: Diffusers has no plan for the architecture, the ring lacks its kernel, or a
            setting is for one process alone.
    """
    check_spreadable(transformer_class(card.architecture, snapshot.folder), ranks, attention)
    if speed_from_environment() != Speed():
        raise RequestError(
            "LATHE_ATTENTION, LATHE_CACHE and LATHE_COMPILE are for one process alone; unset them "
            "to spread a clip"
        )


def agreed_mode(card: LargeModelCard, ranks: Ranks, machine: Machine | None = None) -> Mode:
    """Return the way of running that fits every rank's GPU; the same answer on every rank.

    Raises:
        RequestError: Some rank's machine is too small, or could only stream the weights.
    """
    machine = _own_gpu(machine or this_machine())
    plan = best_plan(card, machine)
    modes: list[Mode | None] = [None] * ranks.size
    dist.all_gather_object(modes, plan and plan.mode, group=ranks.control)
    found: list[Mode] = [mode for mode in modes if mode is not None]
    if len(found) < ranks.size:
        if plan is None:
            raise why_not(card, machine, next_best(card, machine))
        raise RequestError(f"the machine of another process is too small for {card.name!r}")
    slowest: Mode = max(found, key=lambda mode: MODES.index(mode))
    if slowest == "streamed":
        weights = next(part.bytes for part in card.parts if part.name == TRANSFORMER)
        raise RequestError(
            f"spread over processes, the transformer of {card.name!r} must fit each GPU whole, "
            f"{weights / GB:.0f} GB in bfloat16 or half of that; one process alone streams it"
        )
    return slowest


def lead_large(
    card: LargeModelCard,
    snapshot: Snapshot,
    mode: Mode,
    ranks: Ranks,
    attention: AttentionKind,
    dtype: torch.dtype = torch.bfloat16,
) -> DiffusersVideoModel:
    """On the leader: return the model, its transformer computed by all ranks."""
    model = open_model(card, snapshot, mode, ranks.device, dtype)
    spread_diffusers(model.architecture.transformer, ranks, attention)
    return model


def follow_large(
    card: LargeModelCard,
    snapshot: Snapshot,
    mode: Mode,
    ranks: Ranks,
    attention: AttentionKind,
    dtype: torch.dtype = torch.bfloat16,
) -> dict[str, Callable[[Any], None]]:
    """On a follower: load the transformer alone and return what answers the leader."""
    transformer = load_transformer(card.architecture, snapshot.folder, dtype)
    if mode == "fp8":
        cast_to_fp8(transformer, dtype)
    # It has the GPU to itself, so that it need not wait elsewhere.
    transformer.to(ranks.device)
    spread_diffusers(transformer, ranks, attention)
    return diffusers_handlers(transformer, ranks)


def _own_gpu(machine: Machine) -> Machine:
    rank = local_rank()
    return replace(machine, gpus=machine.gpus[rank : rank + 1]) if machine.gpus else machine
