"""Weighs the parts of GLB files, against what is promised of them before they are made.

    python benchmarks/file_size.py FILE... [--json out.json]

FILEs are meshes of this program without a limit, their textures kept as PNG.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from threed.export import glb_bytes
from threed.file_size import expected_bytes, expected_geometry
from threed.glb import with_picture
from threed.size_budget import ENCODINGS
from threed.textured_mesh import TexturedMesh, read_own_glb


def weigh(path: Path) -> dict[str, float]:
    """Return a file's triangles and texels, and the bytes of its parts, made and promised."""
    mesh = read_own_glb(path)
    data = glb_bytes(TexturedMesh(**vars(mesh)), unlit=False, extras={})
    without = len(with_picture(data, b"", "png"))
    row: dict[str, float] = {
        "faces": len(mesh.faces),
        "texture": len(mesh.texture),
        "bytes": len(data),
        "promised": expected_bytes(len(mesh.faces), len(mesh.texture)),
        "geometry": without,
        "geometry_promised": expected_geometry(len(mesh.faces)),
    }
    for encoding in ENCODINGS:
        size = len(encoding.encode(mesh.texture))
        row[f"{encoding.kind}{encoding.quality} a texel"] = size / mesh.texture[..., 0].size
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, help="write the table here")
    arguments = parser.parse_args()
    rows = {str(path): weigh(path) for path in arguments.files}
    for name, row in rows.items():
        print(name, *(f"{key} {value:,.2f}" for key, value in row.items()), sep="  ")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
