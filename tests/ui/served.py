"""The page on a port of its own, in this process, with a worker that only counts."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio.utils import get_upload_folder

import app
from pipelines.jobs.records import QueueLimits
from pipelines.jobs.store import JobStore
from pipelines.jobs.supervisor import Supervisor
from ui.desk import Desk
from ui.moderation import Moderate, allow_all

COMMAND = (sys.executable, "-m", "tests.pipelines.clockwork")


@contextmanager
def served_page(
    root: Path, limits: QueueLimits | None = None, moderate: Moderate = allow_all
) -> Iterator[tuple[str, Desk]]:
    """Serve the page over a folder; yield its address without a slash at the end, and its desk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = JobStore(root / "runs", limits)
    desk = Desk(store, Supervisor(store, COMMAND), Path(get_upload_folder()), moderate)
    page = app.build_app(desk)
    page.launch(
        server_name="127.0.0.1",
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        **app.launch_settings(desk),
    )
    desk.open()
    try:
        yield f"http://127.0.0.1:{port}", desk
    finally:
        page.close()
        desk.close()
