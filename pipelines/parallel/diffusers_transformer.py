"""A diffusers transformer on many ranks, by diffusers' own context parallelism.

The leader runs a pipeline as it would alone. Before each call of its transformer the arguments go
to the followers, who make the same call; inside, diffusers' hooks split the tokens, and attention
trades them for heads (Ulysses) or passes keys around (ring, which needs a GPU's flash kernel). On a
GPU any number of tokens and heads will do; on a CPU, which is for trying it out, the ranks must
divide both, for gloo gathers no unequal parts. So samplers, cancelling and previews know
nothing of it, and followers need neither text encoder nor decoder.

`ModelMixin.enable_parallelism` would do the same where there is a GPU; it divides by the number of
accelerators, so the few lines that it comes to are written out here and serve a CPU too. Caching
between steps decides by what it sees, which is another part on every rank: do not combine the two.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import ContextParallelConfig, ParallelConfig
from diffusers.hooks import apply_context_parallel
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._pytree import tree_map

from pipelines.errors import RequestError
from pipelines.parallel.attention import AttentionKind
from pipelines.parallel.ranks import Ranks

TRANSFORMER = "transformer"
BACKENDS = {"ulysses": "native", "ring": "_native_flash"}
"""Diffusers' attention back ends that know each way."""


def check_spreadable(
    kind: type[ModelMixin], ranks: Ranks, attention: AttentionKind
) -> dict[str, Any]:
    """Return diffusers' plan for an architecture.

    Raises:
        RequestError: It has none, or the ring lacks its kernel.
    """
    plan: Any = kind._cp_plan
    if plan is None:
        raise RequestError(
            f"{kind.__name__} runs in one process alone: diffusers has no plan to spread it"
        )
    if "encoder_attention_mask" in plan.get("", {}):
        # It is cut by tokens and widened to all heads, where each rank has all tokens and some
        # heads: attention refuses it.
        raise RequestError(
            f"{kind.__name__} runs in one process alone: diffusers' plan to spread it does not "
            "go with a mask of its texts"
        )
    if attention == "ring" and ranks.device.type == "cpu":
        raise RequestError("the attention 'ring' of diffusers needs a GPU; use 'ulysses'")
    return plan


def spread_diffusers(
    transformer: ModelMixin, ranks: Ranks, attention: AttentionKind = "ulysses"
) -> None:
    """Make every rank compute its share of the transformer's calls; called on all ranks alike.

    On the leader the transformer is then used as before; the others serve `diffusers_handlers`.

    Raises:
        RequestError: Diffusers has no plan for this architecture, or the ring lacks its kernel.
    """
    plan = check_spreadable(type(transformer), ranks, attention)
    context = _context(ranks, attention)
    config = ParallelConfig(context_parallel_config=context)
    mesh = init_device_mesh(
        ranks.device.type, context.mesh_shape, mesh_dim_names=context.mesh_dim_names
    )
    config.setup(ranks.rank, ranks.size, ranks.device, mesh=mesh)
    transformer.set_attention_backend(BACKENDS[attention])
    for module in transformer.modules():
        processor = getattr(module, "processor", None)
        if processor is not None and hasattr(processor, "_parallel_config"):
            processor._parallel_config = config
    apply_context_parallel(transformer, context, plan)
    if ranks.leads:
        _announce(transformer, ranks)


def diffusers_handlers(transformer: ModelMixin, ranks: Ranks) -> dict[str, Callable[[Any], None]]:
    """Return what a follower answers the leader with, once `spread_diffusers` has been called."""

    def call(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, kwargs = _moved(arguments, ranks.device)
        with torch.no_grad():
            # Every rank ends with the whole result; the leader has its own.
            transformer(*args, **kwargs)

    return {TRANSFORMER: call}


def _context(ranks: Ranks, attention: AttentionKind) -> ContextParallelConfig:
    unequal = ranks.device.type == "cuda"
    if attention == "ring":
        return ContextParallelConfig(ring_degree=ranks.size, ring_anything=unequal)
    return ContextParallelConfig(ulysses_degree=ranks.size, ulysses_anything=unequal)


def _announce(transformer: ModelMixin, ranks: Ranks) -> None:
    """Tell the followers of each call, before it and after."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ranks.scatter(TRANSFORMER, [_moved((args, kwargs), torch.device("cpu"))] * ranks.size)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        ranks.gather(None)

    transformer.register_forward_pre_hook(before, with_kwargs=True)
    transformer.register_forward_hook(after)


def _moved(tree: Any, device: torch.device) -> Any:
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, tree)
