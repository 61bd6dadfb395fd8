"""The worker's chain: the models of the catalogue, kept in memory once loaded."""

import gc
import threading
from collections.abc import Generator

import torch

from pipelines.from_clip import generate_from_clip
from pipelines.generate import generate
from pipelines.jobs.records import KnownThings
from pipelines.models.catalogue import load_model
from pipelines.models.machine import take_device
from pipelines.models.protocol import VideoModel
from pipelines.request import GenerationRequest
from threed.compile import compile_kernels
from threed.progress import Progress
from threed.report import Report
from threed.run_folder import RunFolder

DEFAULT_MODEL = "embedded"
NUM_NEAREST = 5


class ModelChain:
    """Runs requests on one model at a time, which stays loaded for the next request."""

    def __init__(self) -> None:
        self.device = take_device()
        self._loaded: tuple[tuple[str, str | None], VideoModel] | None = None

    def model(self, name: str, revision: str | None = None) -> VideoModel:
        """Return a model of the catalogue, loaded."""
        if self._loaded is None or self._loaded[0] != (name, revision):
            # The old one goes first, all of it: memory seldom holds two, and the next is planned by
            # what is free. Networks may hold themselves in circles, and torch keeps what they had.
            self._loaded = None
            gc.collect()
            torch.cuda.empty_cache()
            self._loaded = ((name, revision), load_model(name, self.device, revision))
        return self._loaded[1]

    def warm(self) -> None:
        """Load the model that most requests ask for, and begin to compile what a fit needs."""
        self.model(DEFAULT_MODEL)
        # Where that was done before it takes no second; else the first video is drawn meanwhile.
        threading.Thread(target=compile_kernels, daemon=True).start()

    def known(self, request: GenerationRequest) -> KnownThings:
        """Return what the request's model knows near its prompt; nothing where words are a name."""
        if request.upload_name is not None:
            return KnownThings(familiar=True, names=())
        model = self.model(request.model, request.revision)
        names = model.nearest_known(request.prompt, NUM_NEAREST)
        return KnownThings(
            familiar=model.familiar(request.prompt),
            names=tuple(known.name for known in names),
            drawn_as=model.drawn_as(request),
        )

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        """Run the request into a folder."""
        if request.clip is not None:
            return (yield from generate_from_clip(request, folder, self.device))
        model = self.model(request.model, request.revision)
        return (yield from generate(request, folder, model, self.device))
