"""Fetching a large model's files from the Hugging Face Hub: asked for, resumable, safetensors only.

Only the networks that are loaded are fetched, from their own folders: repositories hold much else.
What was fetched before is kept; a file that was cut short goes on from where it stopped. Weights
are compared with the SHA-256 that the Hub names before they count.
"""

import queue
import re
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.asyncio import tqdm_asyncio

from pipelines.errors import InstallationError, RequestError
from pipelines.hashing import file_sha256
from pipelines.models.large_card import HelperCard, LargeModelCard
from pipelines.models.machine import GB, free_disk
from pipelines.models.on_disk import INDEX, Snapshot, cache_folder, last_file, require_whole

ENDINGS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""What is fetched of a folder: settings, weights, vocabularies, templates. No code, no pickle."""
VARIANTS = ("*.fp16.*", "*.bf16.*", "*.fp32.*", "*.non_ema.*")
"""The same weights once more."""
SMALL_FOLDERS = ("tokenizer", "tokenizer_2", "scheduler", "guider", "audio_vae")
"""Parts of a pipeline that hold few numbers or none."""
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class DownloadStep:
    """One moment of a download."""

    done_bytes: int
    total_bytes: int
    file: str
    """The file at work."""


class _Stopped(Exception):
    """Raised inside the library's own loop over chunks when nobody wants the rest."""


class _Silent(tqdm_asyncio):
    """The library's own bar, not drawn: whoever drives the generator draws one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


def patterns(card: LargeModelCard | HelperCard) -> list[str]:
    """Return what of a repository is fetched."""
    folders = [part.name for part in card.parts if part.name]
    if not folders:
        return list(ENDINGS)
    return [INDEX] + [
        f"{folder}/{ending}" for folder in (*folders, *SMALL_FOLDERS) for ending in ENDINGS
    ]


def download(
    card: LargeModelCard | HelperCard,
    revision: str | None = None,
    accept_licence: bool = False,
    endpoint: str | None = None,
) -> Generator[DownloadStep, None, Snapshot]:
    """Yield the progress of a download about every half second and return what is on disk.

    Closing the generator stops the download within a chunk; the next one goes on from there.

    Args:
        card: What to fetch.
        revision: A branch, tag or commit; the card's own where it is None.
        accept_licence: The user has read the licence's conditions and accepts them.
        endpoint: The Hub's address where it is not the usual one.

    Raises:
        RequestError: The licence has conditions that were not accepted, there is no such
            repository or revision, it is gated, or the disk is too small.
        InstallationError: The Hub cannot be reached, or what came is not what it says it is.
    """
    revision = revision or card.revision
    check_accepted(card, accept_licence)
    with_words = _errors_in_words(card, revision)
    with with_words:
        # Asked first, because only this call says which of repository and revision is wrong.
        commit = HfApi(endpoint=endpoint).model_info(card.repository, revision=revision).sha
        files = snapshot_download(
            card.repository,
            revision=commit,
            allow_patterns=patterns(card),
            ignore_patterns=list(VARIANTS),
            endpoint=endpoint,
            tqdm_class=_Silent,
            dry_run=True,
        )
    assert not isinstance(files, str)
    # A snapshot that has the last file was whole.
    last = last_file(card)
    files = sorted(files, key=lambda file: (file.filename == last, file.filename))
    total = sum(file.file_size or 0 for file in files)
    left = sum(file.file_size or 0 for file in files if file.will_download)
    free = free_disk(cache_folder(card))
    if left > free:
        raise RequestError(
            f"{card.name!r} takes {left / GB:.1f} GB more on disk; {free / GB:.1f} GB are free at "
            f"{cache_folder(card).parent}, which HF_HOME moves"
        )
    done = total - left
    for file in files:
        yield DownloadStep(done_bytes=done, total_bytes=total, file=file.filename)
        # By its name the last file also records which commit the branch stands for.
        of = revision if file.filename == last else commit
        with with_words:
            for size in _fetch(card.repository, file.filename, str(of), endpoint):
                seen = min(done + size, total)
                yield DownloadStep(done_bytes=seen, total_bytes=total, file=file.filename)
        if file.will_download:
            done += file.file_size or 0
            check_digest(card, Path(file.local_path))
    yield DownloadStep(done_bytes=total, total_bytes=total, file=files[-1].filename)
    return require_whole(card, revision)


def check_accepted(card: LargeModelCard | HelperCard, accepted: bool) -> None:
    """Raise RequestError where a licence has conditions that the user has not accepted."""
    licence = card.licence_terms if isinstance(card, LargeModelCard) else card.licence
    if licence.forbids and not accepted:
        raise RequestError(
            f"{card.name!r} is under the {licence.name}: {licence.forbids}; read it at "
            f"https://huggingface.co/{card.repository} and add --accept-licence"
        )


def check_digest(card: LargeModelCard | HelperCard, path: Path) -> None:
    """Raise InstallationError, and remove the file, where weights are not what the Hub named.

    The cache keeps large files under the SHA-256 of their content.
    """
    blob = path.resolve()
    if not DIGEST.fullmatch(blob.name):
        return
    found = file_sha256(blob)
    if found != blob.name:
        path.unlink()
        blob.unlink()
        raise InstallationError(
            f"what came for {path.name} of {card.name!r} is damaged and was removed: its SHA-256 "
            f"is {found[:12]}..., not {blob.name[:12]}...; give the same command again"
        )


def _fetch(
    repository: str, name: str, revision: str, endpoint: str | None
) -> Generator[int, None, None]:
    """Yield the bytes of one file that are there while the library fetches it in a thread."""
    stop = threading.Event()
    news: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()

    class Counter(_Silent):
        """Told of every chunk by the library."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.seen = int(kwargs.get("initial") or 0)

        def update(self, n: float | int | None = 1) -> bool | None:
            if stop.is_set():
                raise _Stopped
            self.seen += int(n or 0)
            news.put(self.seen)
            return None

    def work() -> None:
        try:
            hf_hub_download(
                repository, name, revision=revision, endpoint=endpoint, tqdm_class=Counter
            )
            news.put(None)
        except BaseException as error:
            news.put(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            item = news.get()
            while isinstance(item, int) and not news.empty():
                item = news.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        worker.join(timeout=30)


class _errors_in_words:
    """Turn what the library raises into sentences."""

    def __init__(self, card: LargeModelCard | HelperCard, revision: str) -> None:
        self.card, self.revision = card, revision

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        where = f"https://huggingface.co/{self.card.repository}"
        name = repr(self.card.name)
        if isinstance(error, GatedRepoError):
            raise RequestError(
                f"{name} is gated: ask for access at {where}, log in with 'hf auth login', and "
                "give the same command again"
            ) from error
        if isinstance(error, RevisionNotFoundError):
            raise RequestError(
                f"{name} has no revision {self.revision!r}; {where}/commits/main lists those "
                f"that there are, and without --revision {self.card.revision!r} is fetched"
            ) from error
        if isinstance(error, RepositoryNotFoundError):
            raise RequestError(
                f"there is no repository {self.card.repository}, or it is private: look at {where}"
            ) from error
        if isinstance(error, EntryNotFoundError | DryRunError | LocalEntryNotFoundError):
            raise InstallationError(
                f"{name} cannot be fetched: {_first_line(error)}; check the connection and give "
                "the same command again"
            ) from error
        if isinstance(error, HfHubHTTPError | httpx2.HTTPError | OSError):
            raise InstallationError(
                f"the download of {name} broke off: {_first_line(error)}; the same command goes "
                "on from here"
            ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
