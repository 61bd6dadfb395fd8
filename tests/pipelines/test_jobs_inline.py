"""The executor in the page's own process: a stage a call, in the visitor's context."""

import contextvars
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.jobs.executor import Executor, open_executor
from pipelines.jobs.inline import GPU_SECONDS, InlineExecutor
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import Supervisor
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import Clockwork
from threed.run_folder import RunFolder

PATIENCE = 30.0

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


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs")


@pytest.fixture
def executor(store: JobStore) -> Iterator[InlineExecutor]:
    executor = InlineExecutor(store, Clockwork())
    yield executor
    executor.stop()


def submit(store: JobStore, prompt: str) -> str:
    return store.submit(GenerationRequest(prompt=prompt), new_session())


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
        walked = (store.folder(job) / "walked").read_text().split()
        assert len(walked) == len(set(walked))
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
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    spaces = importlib.import_module("spaces")
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
