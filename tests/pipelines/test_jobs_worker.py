"""The worker in this process and the supervised one, on a chain that only counts."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.jobs.records import Job
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import PROJECT_ROOT, Supervisor, SupervisorConfig
from pipelines.jobs.worker import APOLOGY, BROKEN, LOG_PROMPTS_VARIABLE, UNWRITTEN, run_job
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import Clockwork
from threed.run_folder import RunFolder

COMMAND = (sys.executable, "-m", "tests.pipelines.clockwork")
PATIENCE = 30.0


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs")


@pytest.fixture
def supervisor(store: JobStore) -> Iterator[Supervisor]:
    supervisor = Supervisor(store, COMMAND)
    supervisor.start()
    yield supervisor
    supervisor.stop()


def submit(store: JobStore, prompt: str) -> str:
    return store.submit(GenerationRequest(prompt=prompt), new_session())


def run_here(store: JobStore, prompt: str) -> Job:
    job_id = submit(store, prompt)
    claimed = store.claim()
    assert claimed is not None
    run_job(store, claimed, Clockwork())
    return store.status(job_id)


def wait_for(condition: Callable[[], object]) -> float:
    """Return the seconds until the condition holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, "it never came to pass"
        time.sleep(0.02)
    return time.monotonic() - start


def test_a_job_runs_to_its_end_and_leaves_its_stages_and_previews(store: JobStore) -> None:
    job = run_here(store, "count 3")
    assert (job.state, job.stage, job.step, job.num_steps) == ("done", "video", 3, 3)
    assert job.previews.keys() == {"video"}
    assert job.known is not None
    assert job.known.names == ("clock", "watch")
    folder = RunFolder(store.folder(job))
    assert folder.done("orbit")
    assert folder.file("orbit.mp4").read_bytes() == b"frames of count"


def test_honest_failures_are_told_in_their_own_words(store: JobStore) -> None:
    job = run_here(store, "void")
    assert (job.state, job.message) == ("failed", "no surface was found; try another seed")


def test_other_faults_are_logged_and_not_told(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    job = run_here(store, "fail")
    assert (job.state, job.message) == ("failed", APOLOGY)
    assert "a secret of the program" in caplog.text


def test_the_log_has_no_prompts_unless_it_is_asked_to(
    store: JobStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_here(store, "fail of mine")
    assert caplog.text
    assert "fail of mine" not in caplog.text
    monkeypatch.setenv(LOG_PROMPTS_VARIABLE, "1")
    run_here(store, "fail of mine")
    assert "fail of mine" in caplog.text


@pytest.mark.parametrize(("prompt", "told"), [("full", UNWRITTEN), ("broken", BROKEN)])
def test_a_visitor_is_told_no_paths_and_the_log_is(
    store: JobStore, caplog: pytest.LogCaptureFixture, prompt: str, told: str
) -> None:
    job = run_here(store, prompt)
    assert (job.state, job.message) == ("failed", told)
    assert "/" not in told
    assert (str(store.folder(job)) if prompt == "full" else "/srv/weights") in caplog.text


def test_cancel_between_steps_closes_the_generator(supervisor: Supervisor, store: JobStore) -> None:
    pid_before = wait_for(lambda: supervisor.worker_pid) and supervisor.worker_pid
    job_id = submit(store, "count 1000")
    wait_for(lambda: store.status(job_id).step > 2)
    store.cancel(job_id)
    assert wait_for(lambda: store.status(job_id).state == "cancelled") < 2.0
    assert (store.folder(store.status(job_id)) / "closed").exists()
    assert supervisor.worker_pid == pid_before


def test_a_job_that_does_not_heed_cancel_is_killed_within_two_seconds_and_the_next_one_runs(
    supervisor: Supervisor, store: JobStore
) -> None:
    stubborn, following = submit(store, "hang 600"), submit(store, "count 2")
    wait_for(lambda: store.status(stubborn).stage == "video")
    pid_before = supervisor.worker_pid
    store.cancel(stubborn)
    assert wait_for(lambda: store.status(stubborn).state == "cancelled") < 2.0
    wait_for(lambda: store.status(following).state == "done")
    assert supervisor.worker_pid != pid_before
    assert not (store.folder(store.status(stubborn)) / "closed").exists()


def test_a_worker_that_dies_fails_its_job_alone(supervisor: Supervisor, store: JobStore) -> None:
    deadly, following = submit(store, "die"), submit(store, "count 2")
    wait_for(lambda: not store.status(following).is_live)
    assert store.status(deadly).state == "failed"
    assert "stopped" in store.status(deadly).message
    assert store.status(following).state == "done"


def test_the_queue_goes_on_after_its_store_has_failed(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(old: str, new: str) -> None:
        with sqlite3.connect(store.root / "jobs.sqlite") as database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")
        database.close()

    supervisor = Supervisor(store, COMMAND, SupervisorConfig(max_backoff_seconds=0.1))
    job_id = submit(store, "count 2")
    rename("jobs", "away")
    supervisor.start()
    try:
        wait_for(lambda: caplog.text.count("the jobs' store failed") >= 2)
        rename("away", "jobs")
        wait_for(lambda: store.status(job_id).state == "done")
    finally:
        supervisor.stop()


def test_a_job_goes_on_where_a_stopped_program_left_it(store: JobStore) -> None:
    first = Supervisor(store, COMMAND)
    first.start()
    job_id = submit(store, "count 40")
    wait_for(lambda: store.status(job_id).step > 0)
    first.stop()
    assert store.status(job_id).state == "queued"
    second = Supervisor(store, COMMAND)
    second.start()
    wait_for(lambda: store.status(job_id).state == "done")
    second.stop()


def test_the_worker_ends_when_its_page_is_killed(store: JobStore) -> None:
    page = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            f"worker = subprocess.Popen({[*COMMAND, str(store.root)]!r}, stdin=subprocess.PIPE)\n"
            "print(worker.pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        cwd=PROJECT_ROOT,
    )
    assert page.stdout is not None
    worker_pid = int(page.stdout.readline())
    job_id = submit(store, "hang 600")
    wait_for(lambda: store.status(job_id).stage == "video")
    page.send_signal(signal.SIGKILL)
    page.wait()
    page.stdout.close()
    wait_for(lambda: not _runs(worker_pid))
    # It gave its job back with its last breath, so that the next program need not wait.
    assert store.status(job_id).state == "queued"


def _runs(pid: int) -> bool:
    try:
        # An orphan's zombie may stay where nobody reaps it; it runs no more.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["grace_seconds", "stop_grace_seconds", "poll_seconds"])
def test_a_duration_that_is_not_positive_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        SupervisorConfig(**{name: 0.0})
