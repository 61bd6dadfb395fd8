"""What the host may ask: /health, whether the program does its work, and /metrics, how it fares.

Neither says anything of any visitor. /metrics is in Prometheus's text format.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from statistics import median

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from pipelines.jobs.store import JobStore


def host_routes(store: JobStore) -> list[Route]:
    """Return the routes of /health and /metrics."""

    def health(request: Request) -> JSONResponse:
        try:
            census = store.census()
            workers = store.num_workers()
        except (sqlite3.Error, OSError):
            return JSONResponse({"status": "the store cannot be read"}, 503)
        # A page whose worker still loads its model is well: it takes jobs.
        return JSONResponse(
            {
                "status": "ok" if workers else "no worker yet",
                "workers": workers,
                "waiting": census.states.get("queued", 0),
                "running": census.states.get("running", 0),
            }
        )

    def metrics(request: Request) -> PlainTextResponse:
        try:
            text = "".join(f"{line}\n" for line in _metrics(store))
        except (sqlite3.Error, OSError):
            return PlainTextResponse("the store cannot be read\n", 503)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return [Route("/health", health), Route("/metrics", metrics)]


def _metrics(store: JobStore) -> Iterator[str]:
    census = store.census()
    yield "# TYPE lathe_jobs gauge"
    for state in ("queued", "running", "done", "stopped", "failed", "cancelled"):
        yield f'lathe_jobs{{state="{state}"}} {census.states.get(state, 0)}'
    yield "# TYPE lathe_workers gauge"
    yield f"lathe_workers {store.num_workers()}"
    yield "# TYPE lathe_results_bytes gauge"
    yield f"lathe_results_bytes {census.num_bytes}"
    yield "# TYPE lathe_disk_free_bytes gauge"
    yield f"lathe_disk_free_bytes {shutil.disk_usage(store.root).free}"
    yield "# TYPE lathe_oldest_wait_seconds gauge"
    yield f"lathe_oldest_wait_seconds {census.oldest_wait_seconds:.1f}"
    yield "# TYPE lathe_stage_seconds gauge"
    for stage, seconds in store.stage_seconds().items():
        yield f'lathe_stage_seconds{{stage="{stage}"}} {median(seconds):.2f}'
