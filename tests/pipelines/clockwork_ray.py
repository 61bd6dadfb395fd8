"""The driver of the executor `ray` whose actors only count.

python -m tests.pipelines.clockwork_ray RUNS_FOLDER
"""

from pipelines.jobs.ray_driver import main
from tests.pipelines.clockwork import Clockwork

if __name__ == "__main__":
    main(Clockwork)
