"""By what a result was made: written into each file of a run, and read back to make it again.

The same JSON object, a request's fields and `made_with`, stands in request.json, in the GLB's
`asset.extras` and in the MP4's comment. Reading needs no torch and no decoder: a file from a
stranger is parsed box by box, within bounds.
"""

import functools
import importlib.metadata
import json
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipelines import VERSION
from pipelines.errors import InstallationError, RequestError
from pipelines.models.catalogue import find_card
from pipelines.request import MADE_WITH, GenerationRequest

PACKAGES = ("torch", "numpy", "nerfstudio", "trimesh", "xatlas", "av", "diffusers")
MAX_JSON_BYTES = 64 << 20
MAX_BOXES = 10_000
# Where players keep comments: moov/udta/meta/ilst/©cmt/data; meta has four bytes before its boxes.
COMMENT_PATH = (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data")
NOTHING_KNOWN = "it does not say how it was made; a GLB, MP4 or request.json of this program does"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file says of its making."""

    request: GenerationRequest
    """What was asked for."""
    made_with: dict[str, Any]
    """Program, model and versions, as they were written; whatever a stranger may have put there."""


def made_with(request: GenerationRequest) -> dict[str, Any]:
    """Return the program, the model with its hash, and the versions that this process runs with."""
    found: dict[str, Any] = {"program": "Lathe", "version": VERSION, "versions": _versions()}
    # A clip of somebody's own was drawn by no model.
    if request.clip is None:
        found["model"] = _model(request)
    return found


def _model(request: GenerationRequest) -> dict[str, str]:
    try:
        card = find_card(request.model)
        weights = card.weights(request.revision)
        return {"name": request.model, "licence": card.licence, **weights}
    except (RequestError, InstallationError):
        # A model that is handed in by name only, as tests and other programs may.
        return {"name": request.model}


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def as_comment(provenance: dict[str, Any]) -> str:
    """Return what stands in request.json as one line, for a file's metadata."""
    return json.dumps(provenance, ensure_ascii=False, separators=(",", ":"))


def read_provenance(path: Path | str) -> Provenance:
    """Return what a GLB, an MP4 or a request.json says of its making; judged by its content.

    Raises:
        RequestError: It is none of these, damaged, or says nothing of its making.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            file.seek(0)
            if head[:4] == b"glTF":
                text = _glb_extras(file)
            elif head[4:8] == b"ftyp":
                text = _mp4_comment(file)
            else:
                text = _bounded(file, MAX_JSON_BYTES)
        return _parsed(text)
    except OSError as error:
        raise RequestError(f"the file cannot be read: {error.strerror}") from error
    except (struct.error, ValueError, RecursionError, KeyError, TypeError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"the file cannot be read: {NOTHING_KNOWN}") from error


def _parsed(text: bytes) -> Provenance:
    values = json.loads(text.decode("utf-8"))
    if not isinstance(values, dict) or "prompt" not in values:
        raise RequestError(f"the file is not from here, or {NOTHING_KNOWN}")
    made = values.get(MADE_WITH)
    request = GenerationRequest.from_json(json.dumps(values))
    return Provenance(request=request, made_with=made if isinstance(made, dict) else {})


def _bounded(file: BinaryIO, length: int) -> bytes:
    data = file.read(min(length, MAX_JSON_BYTES) + 1)
    if len(data) > MAX_JSON_BYTES:
        raise RequestError(f"the file holds more than {MAX_JSON_BYTES >> 20} MiB of text")
    return data[:length]


def _glb_extras(file: BinaryIO) -> bytes:
    """Return `asset.extras` from a binary glTF's first chunk, which is its JSON."""
    file.seek(12)
    length, kind = struct.unpack("<I4s", file.read(8))
    if kind != b"JSON":
        raise RequestError("the GLB is damaged: it does not begin with its JSON")
    return json.dumps(json.loads(_bounded(file, length))["asset"]["extras"]).encode()


def _mp4_comment(file: BinaryIO) -> bytes:
    """Return the comment in an MP4's metadata."""
    end = file.seek(0, 2)
    start = 0
    for name in COMMENT_PATH:
        for kind, inner, inner_end in _boxes(file, start, end):
            if kind == name:
                start, end = inner + (4 if kind == b"meta" else 0), inner_end
                break
        else:
            raise RequestError(f"the file is not from here, or {NOTHING_KNOWN}")
    # Before the text stand its type and its language, four bytes each.
    file.seek(start + 8)
    return _bounded(file, max(0, end - start - 8))


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the content's start and its end of each box between two places."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        stop = end if size == 0 else start + size
        if stop > end or stop < start + header:
            return
        yield kind, start + header, stop
        start = stop
