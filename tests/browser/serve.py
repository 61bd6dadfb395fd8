"""The program as it is shipped, but for its worker, which makes eggs in a second or two.

    python -m tests.browser.serve [WORKER]

WORKER is the module of another one, such as tests.pipelines.clockwork.
"""

import sys
from pathlib import Path

from gradio.utils import get_upload_folder

import app
from pipelines.jobs.store import JobStore
from pipelines.jobs.supervisor import Supervisor
from pipelines.models.embedded_card import EmbeddedCard
from ui.desk import Desk, runs_root

WORKER = "tests.browser.quick_worker"


def open_desk() -> Desk:
    store = JobStore(runs_root())
    command = (sys.executable, "-m", *(sys.argv[1:] or [WORKER]))
    return Desk(store, Supervisor(store, command), served=Path(get_upload_folder()))


if __name__ == "__main__":
    # The worker here takes pictures, whether or not the shipped weights have learnt to.
    EmbeddedCard.image = True  # pyright: ignore[reportAttributeAccessIssue]
    app.open_desk = open_desk
    app.main()
