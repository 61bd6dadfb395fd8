"""A worker whose chain only counts: what the tests of the queue run in place of the models.

    python -m tests.pipelines.clockwork RUNS_FOLDER

The prompt is the program: `count 5` yields five steps, `hang 60` sleeps inside one step, `fail`,
`void`, `full` and `broken` raise, `die` kills the process, `walk 4` goes through every stage in
steps of 50 ms, notes with each how often it was made whole (`walked` reads that) and in `pid` who
ran it last; all else yields one step.
"""

import errno
import os
import signal
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipelines.errors import InstallationError, ReconstructionError
from pipelines.jobs.records import KnownThings
from pipelines.jobs.worker import main
from pipelines.request import GenerationRequest
from threed.progress import Progress, Stage
from threed.report import Report
from threed.run_folder import RunFolder

WALK: dict[str, Stage] = {
    "request": "video",
    "orbit": "video",
    "field": "field",
    "mesh": "mesh",
    "report": "report",
}


def walked(folder: Path) -> list[str]:
    """Return the stages that a walk made whole; one that was made twice stands there twice."""
    notes = [folder / f"{made}.txt" for made in WALK]
    return [line for note in notes if note.exists() for line in note.read_text().splitlines()]


class Clockwork:
    """Does what the prompt's first word says."""

    def warm(self) -> None:
        pass

    def known(self, request: GenerationRequest) -> KnownThings:
        return KnownThings(familiar=request.prompt.startswith("count"), names=("clock", "watch"))

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        word, _, number = request.prompt.partition(" ")
        try:
            count = float(number) if number.isdecimal() else 1.0
            yield from self._act(request, word, count, folder)
        finally:
            # On a full disk there is no room to say so.
            with suppress(OSError):
                folder.file("closed").write_text("the generator was closed")
        return None

    def _walk(self, num_steps: int, folder: RunFolder) -> Generator[Progress, None, None]:
        folder.file("pid").write_text(str(os.getpid()))
        for made, stage in WALK.items():
            if folder.done(made):
                continue
            for step in range(num_steps):
                yield Progress(stage=stage, step=step, num_steps=num_steps, message="walking")
                time.sleep(0.05)
            # Within the stage: whoever is killed leaves both the stage and the note, or neither.
            note = folder.file(f"{made}.txt")
            before = note.read_text() if note.exists() else ""
            with folder.stage(made) as temporary:
                (temporary / note.name).write_text(f"{before}{made}\n")

    def _act(
        self, request: GenerationRequest, word: str, number: float, folder: RunFolder
    ) -> Generator[Progress, None, None]:
        if word == "walk":
            yield from self._walk(int(number), folder)
            return
        frames = np.full((12, 8, 8, 3), 200, dtype=np.uint8)
        yield Progress(stage="video", step=0, num_steps=1, message="starting")
        if word == "hang":
            time.sleep(number)
        if word == "fail":
            raise RuntimeError("a secret of the program")
        if word == "void":
            raise ReconstructionError("no surface was found; try another seed")
        if word == "full":
            with folder.stage("orbit"):
                raise OSError(errno.ENOSPC, "No space left on device")
        if word == "broken":
            raise InstallationError("/srv/weights/a.safetensors is damaged")
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        for step in range(int(number)):
            time.sleep(0.05)
            yield Progress(
                stage="video",
                step=step + 1,
                num_steps=int(number),
                message=f"step {step + 1}",
                preview=frames,
            )
        if not folder.done("request"):
            with folder.stage("request") as temporary:
                (temporary / "request.json").write_text(request.to_json())
        with folder.stage("orbit") as temporary:
            (temporary / "orbit.mp4").write_bytes(b"frames of " + word.encode())


if __name__ == "__main__":
    main(Clockwork())
