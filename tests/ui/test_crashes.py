"""The real page when its worker, itself or its disk breaks, in small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.crashes import inside_small_disk
from pipelines.jobs.supervisor import PROJECT_ROOT


def test_every_job_ends_done_or_with_a_reason_and_no_whole_stage_is_made_twice(
    tmp_path: Path,
) -> None:
    if subprocess.run(inside_small_disk(tmp_path, ["true"]), capture_output=True).returncode:
        pytest.skip("this system lends nobody a small disk")
    command = [sys.executable, "-m", "tests.ui.crash_trials", str(tmp_path)]
    done = subprocess.run(
        inside_small_disk(tmp_path, command),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    findings = json.loads(done.stdout.splitlines()[-1])
    assert [finding["done_to_it"] for finding in findings if not finding["as_hoped"]] == []
    restarted, full, refused = findings
    assert restarted["taken_up"] == 2
    assert full["ended"].startswith("failed: The server could not keep the results")
    assert refused["ended"].startswith("refused (422)")
