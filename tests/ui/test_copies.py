"""Served copies go when nobody is handed them any more, or what they are copies of is gone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.jobs.records import Job
from pipelines.jobs.store import new_session
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.jobs.worker import run_job
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import Clockwork
from ui.copies import Copies
from ui.desk import Desk

HOUR = 3600.0


def finished(desk: Desk) -> Job:
    request = GenerationRequest(prompt="count 2", video_only=True)
    job_id = desk.store.submit(request, new_session())
    job = desk.store.claim()
    assert job is not None
    run_job(desk.store, job, Clockwork())
    return desk.store.status(job_id)


def exported(desk: Desk, job: Job) -> Path:
    deadline = time.monotonic() + 60
    while (path := desk.export(job.id, job.session, "mp4")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Path(path)


def test_what_nobody_was_handed_for_a_day_is_deleted_and_comes_back_at_the_next_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen, seen = finished(desk), finished(desk)
    old = [desk.results(unseen)["orbit.mp4"], exported(desk, unseen)]
    kept = [desk.results(seen)["orbit.mp4"], exported(desk, seen)]
    start = time.monotonic()
    for hours in (13, 26):
        monkeypatch.setattr(time, "monotonic", lambda hours=hours: start + hours * HOUR)
        assert [desk.results(seen)["orbit.mp4"], exported(desk, seen)] == kept
        assert [path.exists() for path in old] == [hours < 24] * 2
    assert all(path.exists() for path in kept)
    assert not any(path.parent.exists() for path in old)
    monkeypatch.undo()
    assert desk.results(unseen)["orbit.mp4"].read_bytes() == b"frames of count"
    assert exported(desk, unseen).read_bytes() == b"frames of count"
    desk.close()


def test_who_was_handed_a_file_may_fetch_it_after_it_was_made_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page asks for a video a moment after it was told of it, and for its parts later still."""
    job = finished(desk)
    first = desk.results(job)["orbit.mp4"]
    source = desk.store.folder(job) / "orbit.mp4"
    source.write_bytes(b"drawn again")
    os.utime(source, (1, 1))
    second = desk.results(job)["orbit.mp4"]
    assert (first.read_bytes(), second.read_bytes()) == (b"frames of count", b"drawn again")
    # Nobody is handed the first any more.
    start = time.monotonic()
    for hours in (13, 26):
        monkeypatch.setattr(time, "monotonic", lambda hours=hours: start + hours * HOUR)
        assert desk.results(job)["orbit.mp4"] == second
    assert not first.exists() and second.exists()
    desk.unshare(job.id, job.session)
    assert not second.exists()
    desk.close()


def test_no_version_of_a_withdrawn_file_stays(desk: Desk) -> None:
    job = finished(desk)
    first = desk.results(job)["orbit.mp4"]
    os.utime(desk.store.folder(job) / "orbit.mp4", (1, 1))
    second = desk.results(job)["orbit.mp4"]
    assert first.exists() and second.exists()
    desk.unshare(job.id, job.session)
    assert not first.exists() and not second.exists()
    desk.close()


def test_the_copies_of_a_job_that_the_housekeeper_removed_are_deleted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, other = finished(desk), finished(desk)
    paths = [desk.results(gone)["orbit.mp4"], exported(desk, gone)]
    kept = [desk.results(other)["orbit.mp4"], exported(desk, other)]
    desk.store.delete(gone.id)
    desk.store.prune(HOUR)
    assert not desk.store.folder(gone).exists()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 120.0)
    # Any look at any job.
    desk.results(other)
    assert not any(path.parent.exists() for path in paths)
    assert all(path.exists() for path in kept)
    desk.close()


def test_the_next_start_removes_what_a_killed_program_served_and_nothing_else(
    desk: Desk, tmp_path: Path
) -> None:
    job, served = finished(desk), tmp_path / "served"
    living = desk.results(job)["orbit.mp4"]
    foreign = served / "an-upload" / "clip.mp4"
    foreign.parent.mkdir()
    foreign.write_bytes(b"of another program")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pipelines.jobs.store import JobStore; from ui.copies import Copies\n"
        "store = JobStore(Path(sys.argv[1]))\n"
        "job = store.status(sys.argv[3])\n"
        "print(Copies(Path(sys.argv[2])).copy(job, store.folder(job) / 'orbit.mp4'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(desk.store.root), str(served), job.id]
    killed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert left.read_bytes() == b"frames of count"
    assert living.exists()
    started = Copies(served)
    assert not left.exists()
    assert living.exists()
    assert foreign.exists()
    assert started.copy(job, desk.store.folder(job) / "orbit.mp4").exists()
    started.close()
    assert living.exists()
    desk.close()
    assert list(served.iterdir()) == [foreign.parent]


def test_copies_are_made_though_their_folder_was_cleared_away(desk: Desk) -> None:
    job = finished(desk)
    first = desk.results(job)["orbit.mp4"]
    for folder in desk.served.iterdir():
        folder.rename(desk.store.root / folder.name)
    again = desk.results(job)["orbit.mp4"]
    assert not first.exists()
    # It is a living program's, as before.
    Copies(desk.served)
    assert again.read_bytes() == b"frames of count"
    desk.close()
