"""Starts the page and its worker: python app.py

GRADIO_SERVER_PORT or PORT chooses the port (7860), GRADIO_SERVER_NAME the address (this machine
only, or everywhere on a Hugging Face Space), LATHE_RUNS the folder that keeps the runs,
LATHE_EXECUTOR where jobs run (process, inline or ray).
"""

import os
import signal
from pathlib import Path
from typing import Any

from ui.absent import absent

# Before gradio is imported, which reads it then.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Packages that gradio and mcp use only if they are there. Others brought them along; they would
# take a third of the start, the one for notebooks and the other for judging foreign addresses.
with absent("IPython", "rfc3987_syntax"):
    import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from pipelines.jobs.executor import open_executor
from pipelines.jobs.logs import hide_keys
from pipelines.jobs.store import JobStore, QueueLimits
from ui.callers import callers_from_environment
from ui.desk import Desk, runs_root
from ui.fetching import forbid_fetching
from ui.gate import Gate
from ui.guard import Guard, password
from ui.health import host_routes
from ui.moderation import load_moderation
from ui.page import build_page
from ui.theme import look
from ui.uploads import MAX_CLIP_BYTES

DEFAULT_PORT = 7860
MAX_UPLOAD = f"{MAX_CLIP_BYTES >> 20}mb"


def open_desk() -> Desk:
    """Return a desk over the runs folder; its worker is not started yet."""
    hide_keys()
    store = JobStore(runs_root(), QueueLimits.from_environment())
    served = Path(get_upload_folder())
    return Desk(store, open_executor(store), served, load_moderation())


def build_app(desk: Desk | None = None) -> gr.Blocks:
    """Return the page; its worker starts with the first visitor unless the desk is open before."""
    return build_page(desk or open_desk())


def server_port() -> int:
    """Return the port that the environment asks for, else 7860."""
    named = os.environ.get("GRADIO_SERVER_PORT") or os.environ.get("PORT")
    return int(named) if named else DEFAULT_PORT


def server_name() -> str:
    """Return the address that the environment asks for, else this machine's own."""
    everywhere = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    return os.environ.get("GRADIO_SERVER_NAME") or everywhere


def launch_settings(desk: Desk) -> dict[str, Any]:
    """Return the arguments of `launch` that dress the page and keep it to its purpose."""
    forbid_fetching()
    dressed = look()
    within = dressed.pop("app_kwargs")
    callers = callers_from_environment()
    guard = Middleware(Guard, uploads=desk.served, callers=callers, password=password())
    gate = Middleware(Gate, uploads=desk.served)
    return {
        "share": False,
        "strict_cors": True,
        "max_file_size": MAX_UPLOAD,
        "allowed_paths": [],
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["settings"],
        "mcp_server": True,
        # Else Gradio ends the program where its own page takes more than three seconds to come,
        # as it may when visitors come together with the start.
        "_frontend": False,
        "app_kwargs": {
            **within,
            "routes": [*within.get("routes", []), *host_routes(desk.store)],
            "middleware": [*within.get("middleware", []), guard, gate],
        },
        **dressed,
    }


def main() -> None:
    """Serve the page until the process is told to end."""
    # A host ends the program with SIGTERM, which shall mean what Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    desk = open_desk()
    page = build_app(desk)
    desk.open()
    try:
        page.launch(server_name=server_name(), server_port=server_port(), **launch_settings(desk))
    finally:
        desk.close()


if __name__ == "__main__":
    main()
