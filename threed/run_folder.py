"""A run folder: what one request leaves behind, a stage at a time, each stage whole or absent.

A stage is written into a hidden folder inside the run folder and its files are then moved out. A
record in `.stages/` lists them: it is `NAME.partial.json` from before the first file moves until
after the last, when it is renamed to `NAME.done.json`. So a process killed at any moment leaves a
stage either done or marked as a remnant, and the next run clears the remnants; what a power cut
left with an empty record is one too. A stage written anew discards the stages after it, which were
made from it.

Importing this module loads no torch, so that a page may look into run folders.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from threed.errors import FolderInUseError, ReconstructionError, RequestError

REDRAWN_NAME = "redrawn"
"""A folder with a video and its frames, drawn again by what all its views agree on."""
STAGE_FILES = {
    "request": ("request.json",),
    "orbit": ("orbit.npz", "orbit.mp4", "transforms.json", "images"),
    "field": ("field.safetensors", "taught.safetensors"),
    "redraw": (REDRAWN_NAME,),
    "mesh": ("mesh.glb", "preview.webp"),
    "report": ("report.json", "report.png", "worst_view.png", "best_view.png"),
}
"""Every stage's files; some runs leave some of them out."""
STAGES = tuple(STAGE_FILES)


class RunFolder:
    """One run's files; looking needs only the constructor, writing begins with `create`.

    A folder from `create` is this run's alone until it is closed, garbage, or its process ends.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._records = self.path / ".stages"
        self._made: list[Path] = []
        self._release: Callable[[], object] | None = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs write here; looking goes on."""
        if self._release is not None:
            self._release()
        self._release = None

    @classmethod
    def create(cls, path: Path | str) -> "RunFolder":
        """Return a folder ready for writing, made if need be, cleared of a killed run's remnants.

        Raises:
            RequestError: It cannot be written, another run is writing there, or it holds files
                of the same names that no run of this program made.
        """
        folder = cls(path)
        try:
            folder._make()
            folder._lock()
            with tempfile.TemporaryFile(dir=folder._records) as probe:
                probe.write(b"\0" * 4096)
                probe.flush()
            folder._clear_remnants()
        except (OSError, ValueError) as error:
            if isinstance(error, RequestError):
                raise
            folder.remove_if_empty()
            folder.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise RequestError(f"the output folder {path} cannot be written: {reason}") from error
        foreign = folder._foreign()
        if foreign:
            folder.remove_if_empty()
            folder.close()
            raise RequestError(
                f"the output folder {path} already holds {', '.join(foreign)}, which this program "
                "did not write there; choose another folder"
            )
        return folder

    def done(self, stage: str) -> bool:
        """Return whether a stage is whole: finished, and its files still there."""
        names = _listed(self._record(stage, "done"))
        return names is not None and all((self.path / name).exists() for name in names)

    def file(self, name: str) -> Path:
        """Return the path of one of the folder's files, whether or not it is there."""
        return self.path / name

    @contextmanager
    def stage(self, name: str) -> Generator[Path, None, None]:
        """Hand out an empty folder; what is in it when the block ends becomes the stage.

        An exception in the block leaves the run folder as it was.

        Raises:
            ReconstructionError: The disk is full.
        """
        assert name in STAGES, name
        assert self._release is not None, "a folder to write into comes from create"
        temporary = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=".tmp", dir=self._records))
        try:
            yield temporary
            self._commit(name, temporary)
        except Exception as error:
            if not _is_disk_full(error):
                raise
            raise ReconstructionError(
                f"the disk that holds {self.path} is full: free some space and run the same "
                "command again, it goes on from the last finished stage"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def discard(self, stage: str) -> None:
        """Remove a stage and all that were made from it; absent ones are no error."""
        assert self._release is not None, "a folder to write into comes from create"
        self._discard_from(STAGES.index(stage))

    def remove_if_empty(self) -> None:
        """Take back a folder that `create` made if no stage was finished in it."""
        if any(self._record(stage, "done").exists() for stage in STAGES):
            return
        if self._records in self._made:
            shutil.rmtree(self._records, ignore_errors=True)
            # The lock's file went with the rest.
            self.close()
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                continue  # Already gone, or somebody put a file there: theirs to keep.
        self._made = []

    def _make(self) -> None:
        missing = [p for p in (self._records, *self._records.parents) if not p.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def _record(self, stage: str, state: str) -> Path:
        return self._records / f"{stage}.{state}.json"

    def _lock(self) -> None:
        """Hold the folder against other runs; the system drops the lock of a killed process."""
        path = self._records / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._release = weakref.finalize(self, os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that took its empty folder back has removed the file; a third may hold another.
            taken = not path.exists() or not os.path.samestat(os.fstat(lock), path.stat())
        except BlockingIOError:
            taken = True
        if taken:
            self.close()
            raise FolderInUseError(
                f"the output folder {self.path} is in use, another run is writing there: wait for "
                "it or choose another folder"
            )

    def _commit(self, name: str, temporary: Path) -> None:
        names = sorted(os.listdir(temporary))
        partial = self._record(name, "partial")
        index = STAGES.index(name)
        # The record must be whole before the first file appears, hence the detour.
        draft = self._records / f"{name}.draft.tmp"
        draft.write_text(json.dumps(names))
        self._discard_from(index)
        os.replace(draft, partial)
        for entry in names:
            _remove(self.path / entry)
            os.rename(temporary / entry, self.path / entry)
        os.replace(partial, self._record(name, "done"))

    def _discard_from(self, index: int) -> None:
        # Last stage first: a kill in between must not leave a stage without those before it.
        for stage in reversed(STAGES[index:]):
            partial = self._record(stage, "partial")
            if self._record(stage, "done").exists():
                os.replace(self._record(stage, "done"), partial)
            if partial.exists():
                self._remove_listed(partial)

    def _clear_remnants(self) -> None:
        for partial in self._records.glob("*.partial.json"):
            self._remove_listed(partial)
        for index, stage in enumerate(STAGES):
            done = self._record(stage, "done")
            if done.exists() and _listed(done) is None:
                self._discard_from(index)
        for remnant in self._records.glob("*.tmp"):
            _remove(remnant)

    def _remove_listed(self, partial: Path) -> None:
        names = _listed(partial)
        if names is None:
            names = STAGE_FILES.get(partial.name.split(".")[0], ())
        for name in names:
            _remove(self.path / name)
        partial.unlink()

    def _foreign(self) -> list[str]:
        records = [self._record(stage, "done") for stage in STAGES]
        own = {name for record in records for name in _listed(record) or ()}
        names = (name for files in STAGE_FILES.values() for name in files)
        return [name for name in names if name not in own and (self.path / name).exists()]


def shown_orbit(path: Path) -> Path:
    """Return the folder of a run's video and frames as they are at last: drawn again, if it was."""
    redrawn = path / REDRAWN_NAME
    return redrawn if redrawn.is_dir() else path


def _listed(record: Path) -> list[str] | None:
    """Return the files that a record lists; None if it is absent or damaged."""
    try:
        names = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    # Nothing outside the folder is a stage's, and neither is the folder itself.
    whole = isinstance(names, list) and all(
        isinstance(name, str) and name == Path(name).name and name not in ("", "..")
        for name in names
    )
    return names if whole else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_disk_full(error: BaseException | None) -> bool:
    # Encoders and savers wrap the system's error in their own, some keeping only its text.
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
