"""Cameras of pictures by the points that they share: COLMAP, as a program of its own.

    python -m threed.colmap FOLDER

Schönberger and Frahm, "Structure-from-Motion Revisited" (CVPR 2016): SIFT features inside the
masks, matches of all pairs, incremental mapping with one pinhole for all. FOLDER has
`images/*.png`, `masks/*.png.png` and `task.json` (`focal` in pixels, `focal_known`);
`cameras.json` is written there.

COLMAP neither yields nor stops when told to, and may bring its process down, so whoever wants
cameras starts this one, may end it at any moment, and holds its standard input open: where that
closes, the caller is dead, and FOLDER goes with the work.
"""

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

CPU_SECONDS = 120
SEED = 0
MAX_FEATURES = 2048
"""In a picture; all pairs are matched, so this bounds the time."""
PEAK_THRESHOLD = 0.004
"""Lower than COLMAP's own, for an object's small picture has few strong corners."""
LEAST_INLIERS = 15
"""Points that place a picture; COLMAP's own number is meant for photographs full of them."""
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True); sys.exit(1)"
"""Python's, for what is left of a search whose caller is dead."""


def find_cameras(folder: Path) -> dict[str, Any]:
    """Return the largest model: `focal` in pixels, and under `cameras` a picture's c2w by its name.

    Camera axes are OpenCV's, x right, y down, z ahead; the world is any similar one. The same
    pictures give the same cameras.
    """
    import pycolmap

    pycolmap.set_random_seed(SEED)
    # Its log is not for whoever reads the caller's.
    pycolmap.logging.minloglevel = 3
    task = json.loads((folder / "task.json").read_text("utf-8"))
    database, images = folder / "database.db", folder / "images"
    first = pycolmap.Bitmap.read(str(min(images.iterdir())), True)
    assert first is not None
    reading = pycolmap.ImageReaderOptions(
        camera_model="SIMPLE_PINHOLE",
        camera_params=f"{task['focal']},{first.width / 2},{first.height / 2}",
        mask_path=folder / "masks",
    )
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    extraction.sift.max_num_features = MAX_FEATURES
    extraction.sift.peak_threshold = PEAK_THRESHOLD
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reading,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = SEED
    pycolmap.match_exhaustive(
        database,
        pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False),
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    mapping = pycolmap.IncrementalPipelineOptions(
        num_threads=1,
        random_seed=SEED,
        extract_colors=False,
        ba_refine_focal_length=not task["focal_known"],
    )
    mapping.mapper.abs_pose_min_num_inliers = LEAST_INLIERS
    models = pycolmap.incremental_mapping(database, images, folder, mapping)
    best = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
    if best is None:
        return {"focal": task["focal"], "cameras": {}}
    (camera,) = best.cameras.values()
    views = [image for image in best.images.values() if image.has_pose]
    c2w = {image.name: image.cam_from_world().inverse().matrix().tolist() for image in views}
    return {"focal": float(camera.params[0]), "cameras": c2w}


def _end_with_caller(folder: Path) -> None:
    """Wait until the caller is dead, then remove the folder that it cannot remove any more.

    As another program in this process's place, for the search's own thread would go on writing
    there, and what it writes while the rest goes would keep the folder.
    """
    sys.stdin.buffer.read()
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", REMOVE, str(folder.resolve())])


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_caller, args=(folder,), daemon=True).start()
    found = find_cameras(folder)
    (folder / "cameras.json").write_text(json.dumps(found), "utf-8")
    sys.stdout.flush()
    # Not through the interpreter's end, which would wait for the thread that reads.
    os._exit(0)


if __name__ == "__main__":
    main()
