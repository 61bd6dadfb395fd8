"""The log of a host says nothing by which a visitor's gallery can be reached."""

import logging
from pathlib import Path

import pytest

from pipelines.jobs.logs import hide_keys
from pipelines.jobs.store import JobStore, new_session
from pipelines.request import GenerationRequest


@pytest.mark.parametrize("configured", [False, True])
def test_no_key_gets_into_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], configured: bool
) -> None:
    store = JobStore(tmp_path)
    key = new_session()
    folder = store.folder(store.status(store.submit(GenerationRequest(prompt="a"), key)))
    logger, root = logging.getLogger("some.module"), logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        if configured:
            logging.basicConfig(format="worker: %(message)s")
        hide_keys()
        hide_keys()
        try:
            (folder / "absent").read_bytes()
        except OSError:
            logger.exception("job %s could not keep %s", "a" * 22, folder)
    finally:
        root.handlers = before
    written = capsys.readouterr().err
    assert key in str(folder)
    assert key not in written
    assert written.count("/sessions/…/") == 2
    assert "FileNotFoundError" in written and "a" * 22 in written
