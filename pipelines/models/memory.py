"""Which way of running a large model fits a machine: arithmetic on its card, without torch.

Four ways, the fastest first. `resident`: all networks stay on the GPU. `staged`: one network at a
time is there, the others wait in main memory. `fp8`: the same, with the transformer's weights kept
as 8-bit floats and widened layer by layer as they are used. `streamed`: a network's blocks come to
the GPU one after another while the one before computes. Main memory holds all networks in each way,
if only until they are on the GPU.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.errors import RequestError
from pipelines.models.large_card import HelperCard, LargeModelCard, Part
from pipelines.models.machine import GB, Machine, this_machine

Mode = Literal["resident", "staged", "fp8", "streamed"]
MODES: tuple[Mode, ...] = get_args(Mode)
MODE_WORDS: dict[Mode, str] = {
    "resident": "all of it stays on the GPU",
    "staged": "one network at a time is on the GPU",
    "fp8": "one network at a time, its weights as 8-bit floats",
    "streamed": "weights come to the GPU block by block, slowly",
}
RESERVE = 1.0 * GB
"""Left to the driver, the display and fragments."""
STREAMED_SHARE = 0.1
"""Of a network's weights that are on the GPU while it is streamed: two blocks of some twenty."""
TRANSFORMER = "transformer"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is run."""

    mode: Mode
    gpu_bytes: float
    """Estimated need on the GPU."""
    ram_bytes: float
    """Estimated need in main memory."""

    def words(self) -> str:
        return f"{MODE_WORDS[self.mode]}; about {self.gpu_bytes / GB:.0f} GB of GPU memory"


def needs(card: LargeModelCard | HelperCard, mode: Mode) -> Plan:
    """Return what a way of running a model needs, estimated from its parameters in bfloat16."""
    working = card.working_gb * GB if isinstance(card, LargeModelCard) else 3 * GB
    total = sum(part.bytes for part in card.parts)
    on_gpu = max(_staged_bytes(part, mode) for part in card.parts)
    if mode == "resident":
        on_gpu = total
    # `from_pretrained` has read the last network before the first goes to the GPU.
    return Plan(mode=mode, gpu_bytes=on_gpu + working, ram_bytes=total)


def _staged_bytes(part: Part, mode: Mode) -> float:
    if mode == "streamed":
        return STREAMED_SHARE * part.bytes
    if mode == "fp8":
        # Text encoders are needed once a prompt, so they are streamed rather than rounded.
        return part.bytes / 2 if part.name == TRANSFORMER else STREAMED_SHARE * part.bytes
    return part.bytes


def best_plan(card: LargeModelCard | HelperCard, machine: Machine | None = None) -> Plan | None:
    """Return the fastest way of running a model on a machine, None where there is none."""
    machine = machine or this_machine()
    if machine.gpu is None:
        return None
    for mode in MODES:
        plan = needs(card, mode)
        if plan.gpu_bytes + RESERVE <= machine.gpu.free and plan.ram_bytes <= machine.ram:
            return plan
    return None


def why_not(card: LargeModelCard, machine: Machine, instead: str) -> RequestError:
    """Return the refusal of a model that a machine cannot run, with what to choose instead."""
    least = needs(card, "streamed")
    if machine.gpu is None:
        what = (
            f"the model {card.name!r} needs an NVIDIA GPU with at least "
            f"{(least.gpu_bytes + RESERVE) / GB:.0f} GB, and this machine has none"
        )
    elif least.gpu_bytes + RESERVE > machine.gpu.free:
        has = f"{machine.gpu.memory / GB:.0f}"
        # Of an idle machine there is no more to tell.
        if machine.gpu.free < machine.gpu.memory:
            has = f"{machine.gpu.free / GB:.0f} GB free of {has}"
        else:
            has = f"{has} GB"
        what = (
            f"the model {card.name!r} needs at least {(least.gpu_bytes + RESERVE) / GB:.0f} GB of "
            f"GPU memory; the {machine.gpu.name} has {has}"
        )
    else:
        what = (
            f"the model {card.name!r} needs {least.ram_bytes / GB:.0f} GB of main memory while its "
            f"networks wait there; {machine.ram / GB:.0f} GB are free at most"
        )
    return RequestError(f"{what}; choose {instead}")
