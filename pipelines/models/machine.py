"""What this machine has: GPUs, memory, room on disk. Importing this loads no torch and no driver.

A wish is judged by the idle machine, for what is taken now may be the worker's own model of the job
before; the way of running a model by what is free on its device when it is loaded.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GB = 10**9
QUERY = ("name", "memory.total", "memory.free", "compute_cap", "uuid")
MEMINFO = Path("/proc/meminfo")
SECONDS = 10.0
"""A driver that does not answer in this time counts as none."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as its driver reports it."""

    name: str
    memory: int
    """Bytes in all."""
    free: int
    """Bytes that nobody uses now."""
    capability: tuple[int, int]
    """NVIDIA's compute capability; 8.9 and above multiply in fp8."""
    uuid: str = ""
    """By which both the driver and CUDA know it, `GPU-` and digits; empty where not asked for."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a model may use here."""

    gpus: tuple[Gpu, ...]
    ram: int
    """Bytes of main memory that are available now."""

    @property
    def gpu(self) -> Gpu | None:
        """The GPU with the most free memory; None where there is none."""
        return max(self.gpus, key=lambda gpu: gpu.free, default=None)

    def words(self) -> str:
        """Return the machine in a few words."""
        ram = f"{self.ram / GB:.0f} GB of free main memory"
        if self.gpu is None:
            return f"no NVIDIA GPU, {ram}"
        many = f"{len(self.gpus)} GPUs, the freest a " if len(self.gpus) > 1 else ""
        return f"{many}{self.gpu.name} with {self.gpu.free / GB:.0f} GB free, {ram}"


def this_machine() -> Machine:
    """Return what is here now, as the operating system and nvidia-smi tell it."""
    return Machine(gpus=_visible_gpus(), ram=_ram("MemAvailable"))


def idle_machine() -> Machine:
    """Return what is here when nobody uses it: all memory of the GPUs, all main memory.

    What other programs take is not told from what a worker of ours keeps warm.
    """
    gpus = tuple(replace(gpu, free=gpu.memory) for gpu in _visible_gpus())
    return Machine(gpus=gpus, ram=_ram("MemTotal"))


def machine_of(device: "torch.device | str") -> Machine:
    """Return what a model may use now that computes on one device: of the GPUs that one alone."""
    # Here and not above, as in `take_device`: the page has no torch.
    import torch

    if torch.device(device).type != "cuda":
        return Machine(gpus=(), ram=_ram("MemAvailable"))
    # What torch keeps for later, though nobody uses it, would count as taken.
    torch.cuda.empty_cache()
    free, memory = torch.cuda.mem_get_info(device)
    found = torch.cuda.get_device_properties(device)
    gpu = Gpu(name=found.name, memory=memory, free=free, capability=(found.major, found.minor))
    return Machine(gpus=(gpu,), ram=_ram("MemAvailable"))


def take_device() -> "torch.device":
    """Return the freest GPU, which is torch's current one from now on, or the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    # The driver is asked, for CUDA would take memory of every GPU to answer. It counts along the
    # bus, and CUDA from the fastest on what it may see; the identifiers are the same to both.
    free = {gpu.uuid: gpu.free for gpu in (_all_gpus() if count > 1 else ())}
    names = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(count)]
    device = torch.device("cuda", max(range(count), key=lambda index: free.get(names[index], 0)))
    torch.cuda.set_device(device)
    return device


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where a folder is or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Return the GPUs that nvidia-smi lists as CSV; memory is in MiB there."""
    gpus = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.rsplit(",", len(QUERY) - 1)]
        try:
            name, total, free, capability, uuid = cells
            major, minor = capability.split(".")
            gpu = Gpu(
                name=name,
                memory=int(total) << 20,
                free=int(free) << 20,
                capability=(int(major), int(minor)),
                uuid=uuid,
            )
        except ValueError:
            # A GPU that is off the bus, or one that shares its memory, reports words for numbers.
            continue
        gpus.append(gpu)
    return tuple(gpus)


def _all_gpus() -> tuple[Gpu, ...]:
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True, env=_environment()
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(run.stdout)


def _visible_gpus() -> tuple[Gpu, ...]:
    gpus = _all_gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    # Only a list of plain numbers is understood; a list of identifiers keeps what is listed.
    numbers = [word.strip() for word in visible.split(",") if word.strip()]
    if all(number.isdigit() for number in numbers):
        return tuple(gpus[int(number)] for number in numbers if int(number) < len(gpus))
    return gpus if not any(number.startswith("-") for number in numbers) else ()


def _environment() -> dict[str, str]:
    # Numbers in the driver's table have a full stop whatever the user's language is.
    return {**os.environ, "LC_ALL": "C"}


def _ram(which: str) -> int:
    try:
        for line in MEMINFO.read_text("ascii").splitlines():
            if line.startswith(f"{which}:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
