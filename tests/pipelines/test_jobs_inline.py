"""The executor in the page's own process: a stage a call, in the visitor's context."""

import contextvars
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.generate import generate
from pipelines.jobs import worker
from pipelines.jobs.estimate import fraction_done
from pipelines.jobs.executor import Executor, open_executor
from pipelines.jobs.inline import GPU_SECONDS, InlineExecutor, StagedChain
from pipelines.jobs.records import KnownThings
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import Supervisor
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import Clockwork, walked
from tests.pipelines.sphere_model import SphereModel
from threed.progress import STAGES, EarlyStop, Progress, Stage
from threed.run_folder import RunFolder

PATIENCE = 30.0
STEP_SECONDS = 0.02
VISITOR = contextvars.ContextVar("visitor", default="nobody")

# What stands in for the host's package: it does what the real one does off its own machines, and
# writes down what it was asked for, and in whose context.
SPACES = """
import contextvars
VISITOR = contextvars.ContextVar("visitor", default="nobody")
calls = []
def GPU(duration):
    def decorate(function):
        def call(*values):
            calls.append((duration(*values), values[-1], VISITOR.get()))
            yield from function(*values)
        return call
    return decorate
"""

# And what does as the real one on those machines: the function runs ahead in a process of its own,
# which hears nothing of what is thrown in, but at its next step that the call was closed.
SPACES_APART = f"""
import multiprocessing
fork = multiprocessing.get_context("fork")
def GPU(duration):
    def decorate(function):
        def call(*values):
            ours, theirs = fork.Pipe(duplex=False)
            closed = fork.Event()
            def drive():
                for progress in function(*values):
                    if closed.is_set():
                        return
                    theirs.send(progress)
                theirs.send(None)
            process = fork.Process(target=drive, daemon=True)
            process.start()
            try:
                while ours.poll({PATIENCE}) and (progress := ours.recv()) is not None:
                    yield progress
            except GeneratorExit:
                closed.set()
                raise
            finally:
                process.join({PATIENCE})
        return call
    return decorate
"""

PARTS: dict[str, tuple[Stage, ...]] = {
    "orbit": ("video",),
    "field": ("field", "distillation"),
    "mesh": ("redraw", "mesh", "texture"),
    "report": ("report",),
}


class Film(Clockwork):
    """Speaks as the real chain does: of the video at each start, be it there already, and of a
    stage's last step when its files are written. `film 4` takes four steps a stage.
    """

    def run(self, request: GenerationRequest, folder: RunFolder) -> Generator[Progress, None, None]:
        yield Progress(stage="video", step=0, num_steps=1, message="nearest known things: clock")
        for made in PARTS:
            if not folder.done(made):
                yield from self._make(made, int(request.prompt.split()[1]), folder)

    def _make(self, made: str, count: int, folder: RunFolder) -> Generator[Progress, None, None]:
        for stage in PARTS[made]:
            for step in range(count):
                try:
                    yield Progress(stage=stage, step=step, num_steps=count, message="at work")
                except EarlyStop:
                    if made == "orbit":
                        self._write(made, step, folder)
                    raise
                time.sleep(STEP_SECONDS)
        self._write(made, count, folder)
        yield Progress(stage=PARTS[made][-1], step=count, num_steps=count, message="written")

    def _write(self, made: str, num_steps: int, folder: RunFolder) -> None:
        with folder.stage(made) as temporary:
            (temporary / f"{made}.txt").write_text(str(num_steps))


class Watched(JobStore):
    """Notes who takes up what, and where the bar stands after each word of the worker's; fails to
    write what is named in `refused`.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.taken_up: list[tuple[str, str]] = []
        self.bar: list[float] = []
        self.refused: tuple[str, ...] = ()
        self.refusals: Counter[str] = Counter()

    def publish_known(self, job_id: str, known: KnownThings) -> None:
        self.taken_up.append((job_id, VISITOR.get()))
        super().publish_known(job_id, known)

    def publish(self, job_id: str, *values: Any) -> None:
        super().publish(job_id, *values)
        self.bar.append(fraction_done(self.status(job_id), {}))

    def finish(self, *values: Any) -> None:
        self._refuse("finish")
        super().finish(*values)

    def release(self, worker: str, *, died: bool) -> None:
        self._refuse("release")
        super().release(worker, died=died)

    def _refuse(self, what: str) -> None:
        if what in self.refused:
            self.refusals[what] += 1
            raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.0)
    return Watched(tmp_path / "runs")


@pytest.fixture
def executor(store: JobStore) -> Iterator[InlineExecutor]:
    executor = InlineExecutor(store, Clockwork())
    yield executor
    executor.stop()


@pytest.fixture
def cinema(store: JobStore) -> Iterator[InlineExecutor]:
    executor = InlineExecutor(store, Film())
    yield executor
    executor.stop()


def submit(store: JobStore, prompt: str) -> str:
    return store.submit(GenerationRequest(prompt=prompt), new_session())


def lend(source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a package `spaces` that is there until the test ends."""
    spaces = ModuleType("spaces")
    spaces.__spec__ = ModuleSpec("spaces", None)
    exec(source, vars(spaces))
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    return spaces


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def test_jobs_run_in_order_a_stage_at_a_time(store: JobStore, executor: InlineExecutor) -> None:
    ids = [submit(store, "walk 2"), submit(store, "walk 1")]
    executor.start()
    wait_for(lambda: not store.queue())
    jobs = [store.status(job_id) for job_id in ids]
    assert [job.state for job in jobs] == ["done", "done"]
    for job in jobs:
        assert all(RunFolder(store.folder(job)).done(stage) for stage in GPU_SECONDS)
        made = walked(store.folder(job))
        assert made and len(made) == len(set(made))
    assert (jobs[0].started or 0) < (jobs[1].started or 0)
    assert store.num_workers() == 1


def test_cancel_and_the_programs_end_are_heeded_between_two_steps(
    store: JobStore, executor: InlineExecutor
) -> None:
    cancelled, cut = submit(store, "walk 500"), submit(store, "walk 500")
    executor.start()
    wait_for(lambda: store.status(cancelled).step > 0)
    store.cancel(cancelled)
    wait_for(lambda: store.status(cancelled).state == "cancelled")
    wait_for(lambda: store.status(cut).step > 0)
    executor.stop()
    assert store.status(cut).state == "queued"


def test_each_stage_asks_the_host_for_its_own_seconds_in_the_visitors_context(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = lend(SPACES, monkeypatch)
    executor = InlineExecutor(store, Clockwork())
    job_id = submit(store, "walk 1")
    context = contextvars.copy_context()
    context.run(spaces.VISITOR.set, "somebody")
    context.run(executor.submitted, job_id)
    executor.start()
    try:
        wait_for(lambda: store.status(job_id).state == "done")
    finally:
        executor.stop()
    assert [call[1] for call in spaces.calls] == list(GPU_SECONDS)
    assert [call[0] for call in spaces.calls] == [
        round(seconds) for seconds in GPU_SECONDS.values()
    ]
    assert all(0 < call[0] <= 120 for call in spaces.calls)
    assert {call[2] for call in spaces.calls} == {"somebody"}


def test_a_run_by_stages_tells_what_a_run_in_one_go_tells(tmp_path: Path) -> None:
    def told(chain: Film | StagedChain, name: str) -> list[Progress]:
        with RunFolder.create(tmp_path / name) as folder:
            return list(chain.run(GenerationRequest(prompt="film 3"), folder))

    assert told(StagedChain(Film()), "staged") == told(Film(), "whole")


def test_the_bar_never_falls_and_every_stage_has_one_true_time(
    store: Watched, cinema: InlineExecutor
) -> None:
    job_id = submit(store, "film 5")
    cinema.start()
    wait_for(lambda: store.status(job_id).state == "done")
    assert store.bar == sorted(store.bar)
    times = store.stage_seconds()
    assert {stage: len(seconds) for stage, seconds in times.items()} == dict.fromkeys(STAGES, 1)
    assert times["video"][0] >= 5 * STEP_SECONDS


def test_an_early_stop_keeps_the_video_as_it_was_guessed_by_then(tmp_path: Path) -> None:
    model: Any = SphereModel()

    class Drawing(Clockwork):
        def run(self, request: GenerationRequest, folder: RunFolder) -> Any:
            return generate(request, folder, model)

    request = GenerationRequest(prompt="a ball", num_frames=8, size=32)
    for num_records, kept in ((1, False), (3, True)):
        with RunFolder.create(tmp_path / str(num_records)) as folder:
            steps = StagedChain(Drawing()).run(request, folder)
            assert [next(steps).step for _ in range(num_records)] == list(range(num_records))
            with pytest.raises(EarlyStop):
                steps.throw(EarlyStop())
            assert folder.done("orbit") == kept
    assert model.num_closed == model.num_samples == 1


@pytest.mark.parametrize("source", ["", SPACES, SPACES_APART], ids=["absent", "off", "apart"])
def test_an_early_stop_is_heard_wherever_the_host_runs_a_stage(
    store: JobStore, cinema: InlineExecutor, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source:
        lend(source, monkeypatch)
    stopped, following = submit(store, "film 400"), submit(store, "film 2")
    cinema.start()
    wait_for(lambda: store.status(stopped).step > 0)
    store.stop(stopped)
    wait_for(lambda: not store.status(stopped).is_live)
    job = store.status(stopped)
    assert job.state == "stopped"
    folder = RunFolder(store.folder(job))
    assert folder.done("orbit") and not folder.done("field")
    assert 0 < int(folder.file("orbit.txt").read_text()) < 400
    # It was this job's stop alone.
    wait_for(lambda: store.status(following).state == "done")
    assert RunFolder(store.folder(store.status(following))).done("report")


@pytest.mark.parametrize("refused", [("finish",), ("finish", "release")])
def test_the_queue_outlives_an_end_that_could_not_be_written(
    store: Watched,
    cinema: InlineExecutor,
    refused: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The job is taken up again, in its visitor's context still, and then the next one."""
    store.refused = refused
    first, second = submit(store, "film 1"), submit(store, "film 2")
    context = contextvars.copy_context()
    context.run(VISITOR.set, "somebody")
    context.run(cinema.submitted, first)
    cinema.start()
    wait_for(lambda: store.refusals[refused[-1]] >= 2)
    assert store.status(first).is_live
    assert store.status(second).state == "queued"
    store.refused = ()
    wait_for(lambda: [store.status(job).state for job in (first, second)] == ["done", "done"])
    assert store.taken_up[0] == store.taken_up[1] == (first, "somebody")
    assert store.taken_up[-1] == (second, "nobody")
    assert "disk I/O error" in caplog.text


@pytest.mark.parametrize(("ask", "state"), [("cancel", "cancelled"), ("stop", "stopped")])
def test_a_job_that_was_asked_to_end_does_though_its_end_could_not_be_written(
    store: Watched, cinema: InlineExecutor, ask: str, state: str
) -> None:
    ended, following = submit(store, "film 400"), submit(store, "film 2")
    cinema.start()
    wait_for(lambda: store.status(ended).step > 0)
    store.refused = ("finish",)
    getattr(store, ask)(ended)
    wait_for(lambda: store.status(ended).state == state)
    store.refused = ()
    wait_for(lambda: store.status(following).state == "done")
    assert store.status(ended).state == state


def test_the_environment_chooses_the_executor(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LATHE_EXECUTOR", raising=False)
    assert isinstance(open_executor(store), Supervisor)
    monkeypatch.setenv("LATHE_EXECUTOR", "inline")
    executor = open_executor(store)
    assert isinstance(executor, InlineExecutor)
    assert isinstance(executor, Executor)
    with pytest.raises(ValueError, match="it can be process, inline or ray"):
        open_executor(store, "rays")
