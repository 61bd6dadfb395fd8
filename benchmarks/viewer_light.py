"""Holds the page's lit viewer against the light of the video, in Chromium.

    python benchmarks/viewer_light.py MESH.glb [--picture out.png]

Grey balls and the mesh are seen from four sides by the page's viewer and by `threed.preview`, lit
as the video is. Printed is the mean difference in steps of 1/255, of each side, without edges.
"""

import argparse
import functools
import http.server
import io
import math
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from threed.cameras import DEFAULT_ELEVATION, orbit_cameras
from threed.export import export_glb
from threed.orbit import display_frames
from threed.preview import render_mesh
from threed.textured_mesh import TexturedMesh, read_own_glb
from ui.viewer import orbit_camera, viewer_element

LIBRARY = Path(__file__).resolve().parents[1] / "assets" / "viewer" / "model-viewer.min.js"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
SIZE, SIDES = 300, 4
POLAR_DEG = 90 - math.degrees(DEFAULT_ELEVATION)
GREYS = (240, 160, 80)


def ball(grey: int) -> TexturedMesh:
    """Return a ball of one grey."""
    shape = trimesh.creation.icosphere(4, 0.8)
    return TexturedMesh(
        vertices=shape.vertices.astype(np.float32),
        normals=(shape.vertices / 0.8).astype(np.float32),
        uv=np.full((len(shape.vertices), 2), 0.5, np.float32),
        faces=shape.faces.astype(np.int64),
        texture=np.full((4, 4, 3), grey, np.uint8),
    )


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine and yield its address."""
    handler = functools.partial(_Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def viewer_frames(page: Page, address: str, folder: Path, mesh: TexturedMesh) -> np.ndarray:
    """Return what the viewer shows of a mesh from four sides."""
    export_glb(mesh, folder / "mesh.glb", unlit=False, extras={})
    element = viewer_element("mesh.glb", "", orbit_camera(POLAR_DEG))
    (folder / "index.html").write_text(
        "<body style='margin:0;background:#fff'><script type='module' src='viewer.js'></script>"
        f"<style>model-viewer{{width:{SIZE}px;height:{SIZE}px}}</style>{element}</body>"
    )
    page.goto(f"{address}/index.html")
    page.wait_for_function("document.querySelector('model-viewer').loaded")
    frames = []
    for side in range(SIDES):
        page.evaluate(
            "orbit => { const viewer = document.querySelector('model-viewer');"
            "viewer.cameraOrbit = orbit; viewer.jumpCameraToGoal(); }",
            f"{360 * side // SIDES}deg {POLAR_DEG}deg 3.2m",
        )
        page.wait_for_timeout(800)
        frames.append(np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")))
    return np.stack(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, help="a GLB of this program")
    parser.add_argument("--picture", type=Path, help="write viewer and video, one above the other")
    arguments = parser.parse_args()
    meshes = {f"grey {grey}": ball(grey) for grey in GREYS}
    meshes[arguments.mesh.name] = read_own_glb(arguments.mesh)
    cameras = orbit_cameras(SIDES, size=SIZE)
    rows = []
    with (
        tempfile.TemporaryDirectory() as place,
        served(Path(place)) as address,
        sync_playwright() as playwright,
    ):
        shutil.copy(LIBRARY, Path(place) / "viewer.js")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": SIZE, "height": SIZE})
        for name, mesh in meshes.items():
            shown = viewer_frames(page, address, Path(place), mesh)
            truth = render_mesh(mesh, cameras)
            wanted = 255 * display_frames(truth).numpy()
            inside = truth.alpha.numpy() > 0.99
            error = [
                np.abs(one.astype(float) - other)[mask].mean()
                for one, other, mask in zip(shown, wanted, inside, strict=True)
            ]
            print(f"{name:20}", *(f"{value:6.1f}" for value in error))
            rows += [np.concatenate(list(shown), axis=1)]
            rows += [np.concatenate(list(wanted.round().astype(np.uint8)), axis=1)]
        browser.close()
    if arguments.picture:
        Image.fromarray(np.concatenate(rows)).save(arguments.picture)


if __name__ == "__main__":
    main()
