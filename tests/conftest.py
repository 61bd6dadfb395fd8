import os

from jaxtyping import install_import_hook

# Before anything of ours is imported: from here on a wrong shape or type raises.
install_import_hook(["pipelines", "threed"], "beartype.beartype")

# Beside other test processes, one thread each: torch's threads would wait for each other's cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# What somebody has downloaded must not change what a test sees.
os.environ["LATHE_MATTING"] = "off"
