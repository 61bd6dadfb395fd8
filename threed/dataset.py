"""nerfstudio's folders, in and out: transforms.json and its pictures.

Poses are camera to world in OpenGL's axes, as ours are, so they are written and read unchanged and
what is built from them stands in the file's own coordinates; only where up is the negative end of
an axis is the scene turned. `applied_transform` and `applied_scale` tell how the coordinates came
from a tool's own; they are already in the poses and nothing is undone. A value that stands in a
frame counts before the one that stands for all.
"""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from threed.aim import meeting_point
from threed.background import PictureCutter
from threed.cameras import Cameras, camera_rays
from threed.dataset_pictures import MAX_NUMBER, View, read_objects
from threed.errors import RequestError
from threed.orbit import OrbitVideo
from threed.resample import Lens, frame_size, object_extent, resample
from threed.upright import Up

MAX_VIEWS = 96
MIN_VIEWS = 3
MAX_JSON_BYTES = 64 << 20
# So many whole views make a shape on their own.
ENOUGH_WHOLE = 8
# Tops of cameras that look steeply down point anywhere on the average, but not so far down.
UPSIDE_DOWN = 0.25
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE")


def write_transforms(path: Path, cameras: Cameras, names: list[str]) -> None:
    """Write a transforms.json for pictures named relative to its folder, one a camera."""
    focal = cameras.focal.double().tolist()
    shared = max(focal) - min(focal) < 1e-6 * max(focal)
    meta: dict[str, Any] = {
        "camera_model": "PINHOLE",
        "w": cameras.width,
        "h": cameras.height,
        "cx": cameras.width / 2,
        "cy": cameras.height / 2,
        # Not nerfstudio's own key; it levels by the cameras, others read the axis.
        "up": [0.0, 0.0, 1.0] if cameras_up(cameras) == "z" else [0.0, 1.0, 0.0],
    }
    if shared:
        meta |= {"fl_x": focal[0], "fl_y": focal[0]}
    meta["frames"] = [
        {"file_path": name, "transform_matrix": pose}
        | ({} if shared else {"fl_x": length, "fl_y": length})
        for name, pose, length in zip(names, cameras.c2w.double().tolist(), focal, strict=True)
    ]
    path.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def cameras_up(cameras: Cameras) -> Up:
    """Return the axis that the cameras' own tops point along on the average."""
    mean = cameras.c2w[:, :3, 1].mean(dim=0)
    return "z" if float(mean[2].abs()) > float(mean[1].abs()) + 1e-3 else "y"


def read_dataset(
    path: Path, size: int, cutter: PictureCutter | None = None, notes: list[str] | None = None
) -> tuple[OrbitVideo, Up]:
    """Return the views of a nerfstudio folder, in the file's coordinates, and which axis is up.

    Pictures without alpha are cut out. All come out as centred pinholes of one size whose frames
    just hold the object, the longer side `size` pixels; no normals, for light is as filmed. A
    picture that shows but a part of the object has a frame that lies within what it shows. A
    scene that is upside down is turned by half a turn about x.

    Args:
        path: The folder where transforms.json lies, or a file of its kind by any name.
        size: Longer side of the views, pixels.
        cutter: Cuts pictures out that have no alpha, and counts; one of its own where it is None.
        notes: Is given a sentence for all that the user should know.

    Raises:
        RequestError: A file is missing, damaged or says something that no camera can be.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    cutter, notes = cutter or PictureCutter(), [] if notes is None else notes
    listing = path / "transforms.json" if path.is_dir() else path
    meta = _read_json(listing)
    views = _read_views(meta, listing)
    if len(views) > MAX_VIEWS:
        views = [views[index * len(views) // MAX_VIEWS] for index in range(MAX_VIEWS)]
    positions = np.stack([view.c2w[:3, 3] for view in views])
    if np.ptp(positions, axis=0).max() <= 1e-6 * (1 + np.abs(positions).max()):
        raise RequestError(f"{listing}: all cameras stand in one place")
    middle = meeting_point(np.stack([view.c2w for view in views]))
    shown = read_objects(views, cutter, middle)
    kept, frames, fov_y = _framed(shown, size, listing, notes)
    cameras = Cameras(
        c2w=torch.from_numpy(np.stack([views[index].c2w for index in kept])).float(),
        fov_y=torch.from_numpy(fov_y).float(),
        width=frames.shape[2],
        height=frames.shape[1],
    )
    _check_facing(listing, cameras, frames[..., 3])
    up, is_upside_down = _file_up(meta, cameras)
    if is_upside_down:
        notes.append(
            f"the scene stood on its head and was turned by half a turn, so that {up} is up"
        )
        half_turn = torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
        cameras = replace(cameras, c2w=half_turn * cameras.c2w)
    orbit = OrbitVideo(
        albedo=frames[..., :3].contiguous(),
        alpha=frames[..., 3].contiguous(),
        normals=None,
        cameras=cameras,
    )
    return orbit, up


def _framed(
    shown: list[tuple[np.ndarray, Lens]], size: int, listing: Path, notes: list[str]
) -> tuple[list[int], Float[Tensor, "view rows columns 4"], Float[np.ndarray, " view"]]:
    """Return which views are kept, their frames and the vertical field of view of each, radians.

    All frames have the shape that holds the object in every picture that shows it whole.
    """
    # A distortion that cannot be undone overflows and is refused here.
    with np.errstate(over="ignore", invalid="ignore"):
        extents = np.stack([object_extent(picture[..., 3], lens) for picture, lens in shown])
        # What a picture cuts off is not known to be empty: its frame lies within what it shows.
        most = np.stack([_half_sides(*view) for view in shown])
    if extents.max(axis=0).min() <= 0:
        raise RequestError(f"{listing}: every picture is fully transparent")
    whole = (extents.max(axis=1) > 0) & ~np.array([_is_cut_off(view[0]) for view in shown])
    if not (np.isfinite(extents).all() and np.isfinite(most[~whole]).all()):
        raise RequestError(f"{listing}: the lens distortion cannot be undone")
    if whole.any():
        width, height, fov_y = frame_size(extents[whole].max(axis=0), size)
    else:
        width, height, fov_y = frame_size(extents.max(axis=0), size, most.max(axis=0))
    half = math.tan(0.5 * fov_y) * np.array([width / height, 1.0])
    shares = np.where(whole, 1.0, (most / half).min(axis=1))
    fovs = 2 * np.arctan(shares * half[1])
    kept = _kept(whole, notes)
    frames = np.stack([resample(*shown[index], width, height, fovs[index]) for index in kept])
    return kept, torch.from_numpy(frames), fovs[kept]


def _is_cut_off(picture: Float[np.ndarray, "height width 4"]) -> bool:
    alpha = picture[..., 3]
    return bool(alpha[[0, -1]].max() > 0.5 or alpha[:, [0, -1]].max() > 0.5)


def _half_sides(
    picture: Float[np.ndarray, "height width 4"], lens: Lens
) -> Float[np.ndarray, " 2"]:
    """Return half width and half height, in tangent units, of a centred frame within a picture."""
    x, y = (np.arange(count) + 0.5 for count in picture.shape[1::-1])
    left_right = lens.to_tangent(np.stack(np.meshgrid(x[[0, -1]], y), axis=-1))[..., 0]
    top_bottom = lens.to_tangent(np.stack(np.meshgrid(x, y[[0, -1]]), axis=-1))[..., 1]
    # A lens' formula may hold no longer in the corners, where nothing is then asked of it.
    half = [np.fmin.reduce(np.abs(side).ravel()) for side in (left_right, top_bottom)]
    # The principal point may lie at the very edge.
    return np.maximum(half, [0.5 / lens.fl_x, 0.5 / lens.fl_y])


def _kept(whole: Bool[np.ndarray, " view"], notes: list[str]) -> list[int]:
    """Return the views that are kept: with enough whole ones, less than twice as many others.

    Where less than a third of the views look, a hull has nothing.
    """
    chosen, cut = np.nonzero(whole)[0], np.nonzero(~whole)[0]
    room = 2 * len(chosen) - 1 if len(chosen) >= ENOUGH_WHOLE else len(cut)
    kept = min(len(cut), room)
    if len(cut):
        left_out = f", of which {len(cut) - kept} were left out" if kept < len(cut) else ""
        notes.append(f"{len(cut)} of {len(whole)} pictures do not show the whole object{left_out}")
    return sorted([*chosen.tolist(), *cut[np.arange(kept) * len(cut) // max(kept, 1)].tolist()])


def _check_facing(
    listing: Path, cameras: Cameras, alpha: Float[Tensor, "view height width"]
) -> None:
    """Refuse cameras whose views of the object meet behind them, as those of foreign axes do."""
    origins, directions = camera_rays(cameras)
    view = F.normalize((directions * alpha[..., None]).sum(dim=(1, 2)), dim=-1)
    origin = origins[:, 0, 0]
    # The point nearest to all views' middle rays, whichever way along them it lies.
    across = torch.eye(3) - view[:, :, None] * view[:, None, :]
    system = across.sum(dim=0) + 1e-4 * torch.eye(3)
    centre = torch.linalg.solve(system, (across @ origin[..., None]).sum(dim=0)[:, 0])
    behind = ((centre - origin) * view).sum(dim=-1) < 0
    if 2 * int(behind.sum()) > len(view):
        raise RequestError(
            f"{listing}: {int(behind.sum())} of {len(view)} cameras look away from "
            "the object; poses must be camera to world and look along -z (OpenGL)"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RequestError(f"{path} is larger than {MAX_JSON_BYTES >> 20} MiB")
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RequestError(f"there is no transforms.json in {path.parent}") from error
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("frames"), list):
        raise RequestError(f"{path} is no transforms.json of nerfstudio's: it has no list `frames`")
    model = meta.get("camera_model", "PINHOLE")
    if model not in PINHOLES:
        raise RequestError(f"{path}: camera_model is {model!r}; can be {', '.join(PINHOLES)}")
    if len(meta["frames"]) < MIN_VIEWS:
        raise RequestError(f"{path} has {len(meta['frames'])} frames; at least {MIN_VIEWS}")
    return meta


def _read_views(meta: dict[str, Any], listing: Path) -> list[View]:
    shared = {key: value for key, value in meta.items() if key != "frames"}
    views = []
    for index, frame in enumerate(meta["frames"]):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise RequestError(f"{listing}: frame {index} has no file_path")
        mask = frame.get("mask_path")
        views.append(
            View(
                path=_inside(listing, frame["file_path"]),
                mask_path=_inside(listing, mask) if isinstance(mask, str) else None,
                c2w=_pose(frame, f"{listing}: frame {index}"),
                entry=shared | frame,
            )
        )
    return views


def _inside(listing: Path, name: str) -> Path:
    """Return the path of a picture; a file from elsewhere must not name others on this machine."""
    relative = os.path.normpath(name)
    if os.path.isabs(relative) or relative.startswith("..") or "\0" in name:
        raise RequestError(f"{listing} names {name!r}, outside its folder")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise RequestError(f"{listing} names {name!r}, which no file can be called") from error
    path = listing.parent / relative
    # NeRF's synthetic scenes leave the suffix out. A name that is too long is no reason to fail
    # here: who opens the picture says so.
    if not path.suffix and not os.path.exists(path):
        path = path.with_suffix(".png")
    return path


def _pose(frame: dict[str, Any], where: str) -> np.ndarray:
    try:
        pose = np.array(frame["transform_matrix"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"{where} has no transform_matrix of numbers") from error
    if pose.shape not in ((4, 4), (3, 4)):
        raise RequestError(f"{where}: transform_matrix has shape {pose.shape}; 4 x 4 is needed")
    if not np.isfinite(pose).all():
        raise RequestError(f"{where}: transform_matrix holds a value that is not finite")
    if np.abs(pose).max() > MAX_NUMBER:
        raise RequestError(f"{where}: transform_matrix holds a value beyond {MAX_NUMBER:g}")
    rotation = pose[:3, :3]
    scale = np.cbrt(np.linalg.det(rotation))
    # Written so that what is not a number is refused.
    if not (scale > 1e-9 and np.abs(rotation.T @ rotation / scale**2 - np.eye(3)).max() < 1e-2):
        raise RequestError(f"{where}: transform_matrix is no rotation, it shears or mirrors")
    # Rounded files are a little off; the nearest rotation is what was meant.
    left, _, right = np.linalg.svd(rotation)
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = left @ right, pose[:3, 3]
    return c2w


def _file_up(meta: dict[str, Any], cameras: Cameras) -> tuple[Up, bool]:
    """Return the axis that is up, and whether that is its negative end."""
    match meta.get("up"):
        case "y" | "z" as axis:
            return axis, False
        case [0, int() | float() as end, 0] if end:
            return "y", end < 0
        case [0, 0, int() | float() as end] if end:
            return "z", end < 0
    up = cameras_up(cameras)
    top = float(cameras.c2w[:, "xyz".index(up), 1].mean())
    return up, top < -UPSIDE_DOWN
