import os

from jaxtyping import install_import_hook

# Before anything of ours is imported: from here on a wrong shape or type raises.
install_import_hook(["pipelines", "threed"], "beartype.beartype")

# What somebody has downloaded must not change what a test sees.
os.environ["LATHE_MATTING"] = "off"
