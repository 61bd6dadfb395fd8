"""An orbit video's files: orbit.npz with all of it, its film, and its pictures for nerfstudio.

Importing this module loads no torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from threed.errors import RequestError

if TYPE_CHECKING:
    import threed.orbit

ORBIT_FPS = 12
MOST_SHEAR = 1e-2
"""How far a camera's axes may be from orthonormal: rounded numbers are a little off."""


def write_orbit(folder: Path, orbit: "threed.orbit.OrbitVideo", comment: str = "") -> None:
    """Write orbit.npz, orbit.mp4 (with the comment), transforms.json and images/ into a folder.

    A clip has no transforms.json: its frames are not known to show one thing from its cameras.
    """
    from PIL import Image

    from threed.dataset import write_transforms
    from threed.orbit import display_pixels
    from threed.video_io import write_mp4

    orbit = orbit.to("cpu")
    frames = _straight_frames(orbit)
    arrays = {
        "frames": frames,
        "c2w": orbit.cameras.c2w.numpy().astype(np.float32),
        "fov_y": orbit.cameras.fov_y.numpy().astype(np.float32),
        "kind": np.array(orbit.kind),
    }
    if orbit.normals is not None:
        alpha = orbit.alpha.numpy()[..., None]
        straight = orbit.normals.numpy() / np.maximum(alpha, 0.5 / 255)
        arrays["normals"] = np.rint(127 * straight.clip(-1, 1)).astype(np.int8)
    np.savez_compressed(folder / "orbit.npz", allow_pickle=False, **arrays)

    write_mp4(folder / "orbit.mp4", display_pixels(orbit), fps=ORBIT_FPS, comment=comment)
    (folder / "images").mkdir()
    names = [f"images/{index:03d}.png" for index in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame, "RGBA").save(folder / name)
    if orbit.kind == "orbit":
        write_transforms(folder / "transforms.json", orbit.cameras, names)


def read_orbit(path: Path | str) -> "threed.orbit.OrbitVideo":
    """Return the orbit video in an orbit.npz, or in the run folder that holds one.

    Raises:
        RequestError: The file is missing or is not an orbit video.
    """
    import torch

    from threed.cameras import Cameras
    from threed.orbit import OrbitVideo
    from threed.orbit_arrays import load_arrays

    path = Path(path) / "orbit.npz" if Path(path).is_dir() else Path(path)
    arrays = load_arrays(path)
    try:
        frames = arrays.pop("frames")
        shape, dtype = frames.shape, frames.dtype
        if len(shape) != 4 or shape[-1] != 4 or 0 in shape or dtype != np.uint8:
            raise ValueError(f"frames are {dtype} {shape}")
        # In place and in parts, for these may be gigabytes.
        alpha = torch.from_numpy(frames[..., 3]).float().div_(255)
        albedo = torch.from_numpy(frames[..., :3]).float().div_(255).mul_(alpha[..., None])
        del frames
        normals = None
        if "normals" in arrays:
            normals = torch.from_numpy(arrays.pop("normals")).float().div_(127)
            normals = normals.mul_(alpha[..., None])
        kind = str(arrays["kind"])
        if kind not in ("orbit", "clip"):
            raise ValueError(f"kind is {kind}")
        cameras = Cameras(
            c2w=torch.from_numpy(_poses(arrays["c2w"], shape[0])),
            fov_y=torch.from_numpy(_floats("fov_y", arrays["fov_y"], (shape[0],))),
            width=shape[2],
            height=shape[1],
        )
        return OrbitVideo(albedo=albedo, alpha=alpha, normals=normals, cameras=cameras, kind=kind)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise RequestError(f"{path} is not an orbit video of this program: {error}") from error


def _floats(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; {shape} is needed")
    # What float32 does not hold becomes infinite, and is refused as that.
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _poses(array: np.ndarray, count: int) -> np.ndarray:
    """Return camera to world motions that were told, or say which frame's is none."""
    c2w = _floats("c2w", array, (count, 4, 4))
    for number, pose in enumerate(c2w.astype(np.float64), start=1):
        if not np.isfinite(pose).all():
            raise ValueError(f"c2w of frame {number} holds a value that is not finite")
        axes = pose[:3, :3]
        skew = max(np.abs(axes.T @ axes - np.eye(3)).max(), np.abs(pose[3] - np.eye(4)[3]).max())
        if skew > MOST_SHEAR or np.linalg.det(axes) < 0:
            raise ValueError(
                f"c2w of frame {number} is no camera to world motion: its axes must be orthonormal "
                "and right-handed, its last row 0, 0, 0, 1"
            )
    return c2w


def _straight_frames(orbit: "threed.orbit.OrbitVideo") -> np.ndarray:
    alpha = orbit.alpha.numpy()[..., None].clip(0, 1)
    straight = (orbit.albedo.numpy() / np.maximum(alpha, 0.5 / 255)).clip(0, 1)
    # Where nothing is opaque the colour is free; black keeps the PNGs small.
    straight = np.where(alpha < 0.5 / 255, 0.0, straight)
    return np.rint(255 * np.concatenate([straight, alpha], axis=-1)).astype(np.uint8)
