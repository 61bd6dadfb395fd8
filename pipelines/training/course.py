"""A training of the transformer from its begin to its end: steps, log, sheets of samples."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipelines.training.bank import LatentBank
from pipelines.training.clips import ClipConfig
from pipelines.training.guidance import GuidanceTeacher, new_student
from pipelines.training.samples import write_sample_sheet
from pipelines.training.transformer import TransformerTraining, train_transformer
from pipelines.video.dit import DiT

STATE_NAME = "state.safetensors"
GUIDANCE_RATE = 0.3
"""Learning rate of who learns guidance, over that of its teacher: most of it is known already."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a network learns from, how, and how that is watched."""

    bank: LatentBank
    training: TransformerTraining
    clips: ClipConfig
    size: int
    """Width and height of the frames, pixels."""
    compile_model: bool
    seed: int
    device: str
    log_steps: int
    """Steps between lines of the log."""
    sheet_steps: int
    """Steps between sheets of samples."""

    def for_guidance(self, num_minutes: float) -> "Course":
        """Return the same for who learns guidance afterwards."""
        training = replace(
            self.training,
            num_minutes=num_minutes,
            learning_rate=GUIDANCE_RATE * self.training.learning_rate,
        )
        return replace(self, training=training)


def follow(
    transformer: DiT, course: Course, folder: Path, teacher: GuidanceTeacher | None = None
) -> None:
    """Train to the end, going on from the folder's state, with log and sheets beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = train_transformer(
        transformer,
        course.bank,
        course.training,
        course.clips,
        folder / STATE_NAME,
        teacher=teacher,
        compile_model=course.compile_model,
        seed=course.seed,
        device=course.device,
    )
    losses, clips, begin = [], 0, time.monotonic()
    for record in steps:
        losses.append(record.loss)
        clips += record.clips
        if record.step % course.log_steps == 0 or record.last:
            mean = float(torch.stack(losses).mean())
            rate = 3600 * clips / (time.monotonic() - begin)
            line = f"{record.step}\t{mean:.4f}\t{rate:.0f} clips/h"
            print(line, flush=True)
            with (folder / "log.tsv").open("a") as log:
                log.write(line + "\n")
            losses = []
        if record.step % course.sheet_steps == 0 or record.last:
            path = folder / f"sheet-{record.step:06d}.png"
            autoencoder = course.bank.autoencoder
            write_sample_sheet(transformer, autoencoder, course.size, path, course.device)


def teach_guidance(teacher: DiT, course: Course, folder: Path) -> None:
    """Train a student that gives in one pass what its teacher gives with guidance."""
    follow(new_student(teacher), course, folder, GuidanceTeacher(transformer=teacher))
