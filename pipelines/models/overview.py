"""The catalogue as a user sees it on this machine: what a model is, if it runs, if it is here.

For the page and the command line; loads neither torch nor diffusers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import InstallationError
from pipelines.models.catalogue import MODELS, ModelCard
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.models.large import HELPERS
from pipelines.models.large_card import HelperCard, LargeModelCard, Licence
from pipelines.models.machine import GB, Machine, this_machine
from pipelines.models.memory import MODES, Mode, Plan, best_plan, needs
from pipelines.models.on_disk import find_snapshot, is_whole

TAKEN = ("text", "image", "cameras", "moves")
"""Abilities that the table names."""
APACHE_TERMS = Licence(name="Apache-2.0", commercial="yes", forbids="")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One model of the catalogue on one machine."""

    name: str
    title: str
    description: str
    repository: str
    """On the Hugging Face Hub; empty for the model that ships with the program."""
    revision: str
    """The commit on disk, else the branch that would be fetched; empty for what ships."""
    licence: Licence
    parameters: float
    download_gb: float
    """About what fetching it takes, 10^9 bytes; 0 for what ships."""
    memory_gb: dict[Mode, float]
    """About what each way of running it takes on the GPU; empty where no GPU is needed."""
    sizes: tuple[int, ...]
    max_frames: int
    frame_rule: str
    """Which clip lengths it draws, in words."""
    fps: int
    abilities: tuple[str, ...]
    """Of text, image, cameras, moves, video to video, alpha, normals."""
    on_disk: bool
    plan: Plan | None
    """How it would run here; None where it cannot, or needs no GPU."""
    runs_here: bool
    """Whether this machine is big enough, on disk or not."""
    helpers: tuple[str, ...]
    """Other models of the catalogue that it needs."""
    remarks: str

    @property
    def ready(self) -> bool:
        """Whether it could be asked for now."""
        return self.on_disk and self.runs_here

    def here(self) -> str:
        """Return in a few words whether it runs on this machine and is on disk."""
        disk = "on disk" if self.on_disk else "not on disk"
        if not self.runs_here:
            return f"not on this machine, {disk}"
        return f"runs here ({self.plan.mode}), {disk}" if self.plan else f"runs here, {disk}"


def overview(machine: Machine | None = None) -> list[Overview]:
    """Return every video model of the catalogue as it stands on a machine, this one by default."""
    machine = machine or this_machine()
    return [_overview(card, machine) for card in MODELS]


def _overview(card: ModelCard, machine: Machine) -> Overview:
    if isinstance(card, EmbeddedCard):
        return _shipped(card)
    snapshot = find_snapshot(card)
    plan = best_plan(card, machine)
    words = {
        "text": True,
        "image": card.image,
        "cameras": card.cameras,
        "video to video": card.video_to_video,
    }
    return Overview(
        name=card.name,
        title=card.title,
        description=card.description,
        repository=card.repository,
        revision=snapshot.commit if snapshot else card.revision,
        licence=card.licence_terms,
        parameters=float(card.num_parameters()),
        download_gb=card.download_gb,
        memory_gb={mode: needs(card, mode).gpu_bytes / GB for mode in MODES},
        sizes=card.sizes,
        max_frames=card.max_frames,
        frame_rule=f"{card.frame_step}k+1, at most {card.most_frames}",
        fps=card.fps,
        abilities=tuple(word for word, has in words.items() if has),
        on_disk=is_whole(card) and all(is_whole(helper) for helper in helpers_of(card)),
        plan=plan,
        runs_here=plan is not None,
        helpers=tuple(helper.name for helper in helpers_of(card)),
        remarks=card.remarks,
    )


def helpers_of(card: LargeModelCard) -> list[HelperCard]:
    """Return the helpers that a model cannot do without."""
    return [helper for helper in HELPERS if helper.name == card.image_model]


def _shipped(card: EmbeddedCard) -> Overview:
    there = card.runnable()
    try:
        sizes, max_frames, parameters = card.sizes, card.max_frames, card.num_parameters()
    except InstallationError:
        there, sizes, max_frames, parameters = False, (), 0, 0
    return Overview(
        name=card.name,
        title=card.title,
        description=card.description,
        repository="",
        revision="",
        licence=APACHE_TERMS,
        parameters=float(parameters),
        download_gb=0.0,
        memory_gb={},
        sizes=sizes,
        max_frames=max_frames,
        frame_rule=f"any, at most {max_frames}",
        fps=12,
        abilities=(
            *(("text", "image") if card.image else ("text",)),
            *(("cameras", "moves") if card.moves else ("cameras",)),
            *("video to video", "alpha", "normals"),
        ),
        on_disk=there,
        plan=None,
        runs_here=True,
        helpers=(),
        remarks="",
    )


def table(rows: Sequence[Overview]) -> str:
    """Return the catalogue as text in columns."""
    head = ("model", "parameters", "download", "GPU memory", "sizes", "frames", "takes", "licence")
    cells: list[tuple[str, ...]] = [(*head, "here")]
    for row in rows:
        memory = " / ".join(f"{row.memory_gb[mode]:.0f}" for mode in MODES if row.memory_gb)
        cells.append(
            (
                row.name,
                _count(row.parameters),
                f"{row.download_gb:g} GB" if row.download_gb else "ships",
                memory or "none",
                " ".join(map(str, row.sizes)),
                row.frame_rule.split(",")[0] + f" <= {row.max_frames}",
                " ".join(word for word in TAKEN if word in row.abilities),
                row.licence.name + ("*" if row.licence.forbids else ""),
                row.here(),
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _count(parameters: float) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"
