"""The executor `ray`: many workers on one machine or many, one a GPU, beside the same page.

    pip install -r requirements-ray.txt
    LATHE_EXECUTOR=ray make app

A driver process claims jobs for its actors and tells the store what they say; the page watches it
as it would a worker. All machines share the folder of the runs, and run the same release at the
same path; the store's own file is touched on the driver's machine alone. `docs/scale.md` says more.
"""

import sys
from collections.abc import Sequence

from pipelines.jobs.ray_cluster import RayConfig, check_ray
from pipelines.jobs.store import JobStore
from pipelines.jobs.supervisor import Supervisor, SupervisorConfig


class RayExecutor(Supervisor):
    """The driver's process and the thread that watches it.

    Raises:
        RequestError: Ray is not installed, or a setting cannot be used.
    """

    def __init__(
        self,
        store: JobStore,
        command: Sequence[str] = (sys.executable, "-m", "pipelines.jobs.ray_driver"),
        config: SupervisorConfig | None = None,
    ) -> None:
        check_ray(RayConfig.from_environment())
        # Where the driver dies no job did it: they run elsewhere.
        super().__init__(store, command, config, to_blame=False)
