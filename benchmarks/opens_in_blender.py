"""Opens GLB files of this program in Blender, without a window, and says how they stand there.

    BPY_PYTHON benchmarks/opens_in_blender.py FILE...

BPY_PYTHON is a Python into which `pip install bpy==4.2.0` was done (Python 3.11), better an
environment of its own than this program's. Blender builds along z and looks at the front from -y.
"""

import json
import struct
import sys
from pathlib import Path

import bpy
import numpy as np


def stated_bounds(path: Path) -> np.ndarray:
    """Return the lowest and highest corner that the file states, turned as Blender should turn."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + length])
    (body,) = tree["meshes"][0]["primitives"]
    accessor = tree["accessors"][body["attributes"]["POSITION"]]
    (x0, y0, z0), (x1, y1, z1) = accessor["min"], accessor["max"]
    if any("rotation" in node for node in tree["nodes"]):
        # A result that stands along z: the node's quarter turn and Blender's undo each other.
        return np.array([[x0, y0, z0], [x1, y1, z1]])
    return np.array([[x0, -z1, y0], [x1, -z0, y1]])


def main() -> None:
    for name in sys.argv[1:]:
        path = Path(name)
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.import_scene.gltf(filepath=str(path))
        (body,) = [thing for thing in bpy.data.objects if thing.type == "MESH"]
        places = np.array([body.matrix_world @ vertex.co for vertex in body.data.vertices])
        bounds = np.stack([places.min(axis=0), places.max(axis=0)])
        assert np.allclose(bounds, stated_bounds(path), atol=1e-5), "it stands otherwise"
        (picture,) = [image for image in bpy.data.images if image.size[0] > 0]
        print(
            f"{path.name}: {len(body.data.polygons):,} triangles, upright, "
            f"{picture.file_format} {tuple(picture.size)} {picture.colorspace_settings.name}, "
            f"from {bounds[0].round(3)} to {bounds[1].round(3)}"
        )


if __name__ == "__main__":
    main()
