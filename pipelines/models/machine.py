"""What this machine has: GPUs, memory, room on disk. Loads no torch and no driver."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

GB = 10**9
QUERY = ("name", "memory.total", "memory.free", "compute_cap")
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
    return Machine(gpus=_nvidia_gpus(), ram=_available_ram())


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
            name, total, free, capability = cells
            major, minor = capability.split(".")
            gpu = Gpu(
                name=name,
                memory=int(total) << 20,
                free=int(free) << 20,
                capability=(int(major), int(minor)),
            )
        except ValueError:
            # A GPU that is off the bus, or one that shares its memory, reports words for numbers.
            continue
        gpus.append(gpu)
    return tuple(gpus)


def _nvidia_gpus() -> tuple[Gpu, ...]:
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True, env=_environment()
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = parse_gpus(run.stdout)
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


def _available_ram() -> int:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
