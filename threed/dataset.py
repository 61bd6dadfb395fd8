"""nerfstudio's folders, in and out: transforms.json and its pictures.

Poses are camera to world in OpenGL's axes, as ours are, so they are written and read unchanged and
what is built from them stands in the file's own coordinates. `applied_transform` and
`applied_scale` tell how these came from a tool's own; they are already in the poses and nothing is
undone. A value that stands in a frame counts before the one that stands for all.
"""

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from threed.aim import meeting_point, seen_at
from threed.background import PictureCutter
from threed.cameras import Cameras, camera_rays
from threed.errors import RequestError
from threed.orbit import OrbitVideo
from threed.resample import Lens, frame_size, object_extent, resample

MAX_VIEWS = 96
MIN_VIEWS = 3
MAX_JSON_BYTES = 64 << 20
MAX_PICTURE_SIDE = 8192
MAX_WORKING_SIDE = 1024
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
PICTURE_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE")

Up = Literal["y", "z"]


@dataclass(frozen=True, kw_only=True)
class View:
    """One entry of a transforms.json."""

    path: Path
    mask_path: Path | None
    c2w: Float[np.ndarray, "4 4"]
    entry: dict[str, Any]
    """The frame's own keys over those that stand for all."""


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
    folder: Path, size: int, cutter: PictureCutter | None = None
) -> tuple[OrbitVideo, Up]:
    """Return the views of a nerfstudio folder, in the file's coordinates, and which axis is up.

    Pictures without alpha are cut out. All come out as one centred pinhole whose frame just holds
    the object, its longer side `size` pixels; no normals, for light is as filmed.

    Args:
        folder: Where transforms.json lies.
        size: Longer side of the views, pixels.
        cutter: Cuts pictures out that have no alpha, and counts; one of its own where it is None.

    Raises:
        RequestError: A file is missing, damaged or says something that no camera can be.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    cutter = cutter or PictureCutter()
    meta = _read_json(folder / "transforms.json")
    views = _read_views(meta, folder)
    if len(views) > MAX_VIEWS:
        views = [views[index * len(views) // MAX_VIEWS] for index in range(MAX_VIEWS)]
    positions = np.stack([view.c2w[:3, 3] for view in views])
    if np.ptp(positions, axis=0).max() <= 1e-6 * (1 + np.abs(positions).max()):
        raise RequestError(f"{folder}/transforms.json: all cameras stand in one place")
    middle = meeting_point(np.stack([view.c2w for view in views]))
    pictures, lenses = zip(*(_read_view(view, cutter, middle) for view in views), strict=True)
    extent = np.max(
        [object_extent(p[..., 3], lens) for p, lens in zip(pictures, lenses, strict=True)], axis=0
    )
    if extent.min() <= 0:
        raise RequestError(f"{folder}: every picture is fully transparent")
    if not np.isfinite(extent).all():
        raise RequestError(f"{folder}/transforms.json: the lens distortion cannot be undone")
    width, height, fov_y = frame_size(extent, size)
    frames = torch.from_numpy(
        np.stack(
            [
                resample(picture, lens, width, height, fov_y)
                for picture, lens in zip(pictures, lenses, strict=True)
            ]
        )
    )
    cameras = Cameras(
        c2w=torch.from_numpy(np.stack([view.c2w for view in views])).float(),
        fov_y=torch.full((len(views),), fov_y),
        width=width,
        height=height,
    )
    _check_facing(folder, cameras, frames[..., 3])
    orbit = OrbitVideo(
        albedo=frames[..., :3].contiguous(),
        alpha=frames[..., 3].contiguous(),
        normals=None,
        cameras=cameras,
    )
    return orbit, _file_up(meta, cameras)


def _check_facing(
    folder: Path, cameras: Cameras, alpha: Float[Tensor, "view height width"]
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
            f"{folder}/transforms.json: {int(behind.sum())} of {len(view)} cameras look away from "
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
        raise RequestError(f"{path} has no list `frames`")
    model = meta.get("camera_model", "PINHOLE")
    if model not in PINHOLES:
        raise RequestError(f"{path}: camera_model is {model!r}; can be {', '.join(PINHOLES)}")
    if len(meta["frames"]) < MIN_VIEWS:
        raise RequestError(f"{path} has {len(meta['frames'])} frames; at least {MIN_VIEWS}")
    return meta


def _read_views(meta: dict[str, Any], folder: Path) -> list[View]:
    shared = {key: value for key, value in meta.items() if key != "frames"}
    views = []
    for index, frame in enumerate(meta["frames"]):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise RequestError(f"{folder}/transforms.json: frame {index} has no file_path")
        mask = frame.get("mask_path")
        views.append(
            View(
                path=_inside(folder, frame["file_path"]),
                mask_path=_inside(folder, mask) if isinstance(mask, str) else None,
                c2w=_pose(frame, f"{folder}/transforms.json: frame {index}"),
                entry=shared | frame,
            )
        )
    return views


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a picture; a file from elsewhere must not name others on this machine."""
    relative = os.path.normpath(name)
    if os.path.isabs(relative) or relative.startswith("..") or "\0" in name:
        raise RequestError(f"{folder}/transforms.json names {name!r}, outside its folder")
    path = folder / relative
    # NeRF's synthetic scenes leave the suffix out.
    if not path.suffix and not path.exists():
        path = path.with_suffix(".png")
    return path


def _pose(frame: dict[str, Any], where: str) -> np.ndarray:
    try:
        pose = np.array(frame["transform_matrix"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{where} has no transform_matrix of numbers") from error
    if pose.shape not in ((4, 4), (3, 4)):
        raise RequestError(f"{where}: transform_matrix has shape {pose.shape}; 4 x 4 is needed")
    if not np.isfinite(pose).all():
        raise RequestError(f"{where}: transform_matrix holds a value that is not finite")
    rotation = pose[:3, :3]
    scale = np.cbrt(np.linalg.det(rotation))
    if scale <= 1e-9 or np.abs(rotation.T @ rotation / scale**2 - np.eye(3)).max() > 1e-2:
        raise RequestError(f"{where}: transform_matrix is no rotation, it shears or mirrors")
    # Rounded files are a little off; the nearest rotation is what was meant.
    left, _, right = np.linalg.svd(rotation)
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = left @ right, pose[:3, 3]
    return c2w


def _read_view(view: View, cutter: PictureCutter, middle: np.ndarray) -> tuple[np.ndarray, Lens]:
    """Return a premultiplied RGBA picture, reduced to working size, with its lens."""
    picture, source_size = _read_picture(view.path, "RGBA")
    lens = _lens(view, source_size).scaled(
        picture.shape[1] / source_size[0], picture.shape[0] / source_size[1]
    )
    alpha = picture[..., 3]
    if view.mask_path is not None and alpha.min() > 0.98:
        mask = _read_picture(view.mask_path, "L")[0]
        if mask.shape != alpha.shape:
            raise RequestError(f"{view.mask_path} has another size than {view.path}")
        return picture * mask[..., None], lens
    if alpha.min() > 0.5:
        rgb = np.rint(255 * picture[..., :3]).astype(np.uint8)
        try:
            place = seen_at(middle, view.c2w, lens, rgb.shape[1], rgb.shape[0])
            return cutter.cut(rgb, place), lens
        except RequestError as error:
            raise RequestError(f"{view.path} has no alpha, and {error}") from error
    return picture, lens


def _read_picture(path: Path, mode: Literal["RGBA", "L"]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a picture in [0, 1], premultiplied, with its width and height in the file."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            size = image.size
            if max(size) > MAX_PICTURE_SIDE:
                raise RequestError(
                    f"{path} is {size[0]} x {size[1]} pixels; at most {MAX_PICTURE_SIDE} a side"
                )
            if image.mode not in PICTURE_MODES:
                raise RequestError(f"{path} has pixels of kind {image.mode}; 8 bits are needed")
            scale = min(1.0, MAX_WORKING_SIDE / max(size))
            small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
            # Pillow's RGBa is premultiplied, so that averaging mixes no hidden colours in.
            picture = image.convert(mode) if mode == "L" else image.convert("RGBA").convert("RGBa")
            picture = picture.resize(small, Image.Resampling.HAMMING)
            return np.asarray(picture, dtype=np.float32) / 255, size
    except FileNotFoundError as error:
        raise RequestError(f"transforms.json names {path}, which is not there") from error
    except UnidentifiedImageError as error:
        raise RequestError(f"{path} is no picture ({', '.join(PICTURE_FORMATS)})") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError(f"{path} cannot be read, it may be cut short: {error}") from error


def _lens(view: View, size: tuple[int, int]) -> Lens:
    """Return a view's lens in the pixels of its file."""
    width, height = size
    w, h = _number(view, "w", float(width)), _number(view, "h", float(height))
    if abs(w * height - h * width) > max(w, h, width, height):
        raise RequestError(
            f"{view.path} is {width} x {height} pixels, but transforms.json says {w:g} x {h:g}"
        )
    angle_x, angle_y = _number(view, "camera_angle_x", 0.0), _number(view, "camera_angle_y", 0.0)
    from_angle_x = 0.5 * w / math.tan(angle_x / 2) if 0 < angle_x < math.pi else 0.0
    from_angle_y = 0.5 * h / math.tan(angle_y / 2) if 0 < angle_y < math.pi else 0.0
    fl_x = _number(view, "fl_x", from_angle_x)
    fl_y = _number(view, "fl_y", from_angle_y or fl_x)
    fl_x = fl_x or fl_y
    cx, cy = _number(view, "cx", w / 2), _number(view, "cy", h / 2)
    if not (fl_x > 0 and fl_y > 0):
        raise RequestError(f"{view.path}: transforms.json gives no focal length (fl_x) above 0")
    if not (0 < cx < w and 0 < cy < h):
        raise RequestError(f"{view.path}: the principal point {cx:g}, {cy:g} lies off the picture")
    given = view.entry.get("distortion_params")
    keys = ("k1", "k2", "k3", "k4", "p1", "p2")
    if isinstance(given, list) and len(given) == len(keys):
        view = replace(view, entry=view.entry | dict(zip(keys, given, strict=True)))
    k1, k2, k3, k4, p1, p2 = (_number(view, key, 0.0) for key in keys)
    lens = Lens(fl_x=fl_x, fl_y=fl_y, cx=cx, cy=cy, radial=(k1, k2, k3, k4), tangential=(p1, p2))
    return lens.scaled(width / w, height / h)


def _number(view: View, key: str, default: float) -> float:
    value = view.entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RequestError(f"{view.path}: transforms.json gives {value!r} for {key}, not a number")
    return float(value)


def _file_up(meta: dict[str, Any], cameras: Cameras) -> Up:
    given = meta.get("up")
    if isinstance(given, list) and len(given) == 3 and given.count(0) == 2:
        return "z" if given[2] else "y"
    if given in ("y", "z"):
        return given
    return cameras_up(cameras)
