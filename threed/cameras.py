"""Cameras, orbits and rays. Every geometric convention of the project is written here.

World: right-handed, +y up, the object's front towards +z, the object inside the unit sphere.
Camera: OpenGL, +x right, +y up, looks along -z. Azimuth 0 is the front and positive azimuth moves
the camera towards +x; elevation is positive above. Radians inside, degrees with the suffix `_deg`.
Pixels are square, the principal point is the image's centre, and the centre of pixel (row 0,
column 0) lies at (0.5, 0.5) in pixel units, x to the right and y down.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

DEFAULT_NUM_FRAMES = 24
DEFAULT_ELEVATION = math.radians(15.0)
DEFAULT_FOV_Y = math.radians(40.0)
DEFAULT_RADIUS = 3.2


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """Pinhole cameras of one common image size.

    Raises:
        ValueError: A field has the wrong number of views or an impossible value.
    """

    c2w: Float[Tensor, "view 4 4"]
    """Camera to world, a rigid motion: orthonormal, determinant 1."""
    fov_y: Float[Tensor, " view"]
    """Vertical field of view, radians."""
    width: int
    """Image width, pixels."""
    height: int
    """Image height, pixels."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size is {self.width} x {self.height}; both must be at least 1")
        if self.c2w.shape[0] != self.fov_y.shape[0]:
            raise ValueError(f"{self.c2w.shape[0]} poses but {self.fov_y.shape[0]} fields of view")
        if not (self.c2w.isfinite().all() and self.fov_y.isfinite().all()):
            raise ValueError("a camera holds a value that is not finite")
        if not bool(((self.fov_y > 0) & (self.fov_y < math.pi)).all()):
            raise ValueError(f"fov_y must lie in (0, pi) radians, is {self.fov_y.tolist()}")

    def __len__(self) -> int:
        return self.c2w.shape[0]

    def __getitem__(self, index: slice | list[int] | Int[Tensor, " chosen"]) -> "Cameras":
        """Return the chosen views."""
        return Cameras(
            c2w=self.c2w[index], fov_y=self.fov_y[index], width=self.width, height=self.height
        )

    def resized(self, width: int, height: int) -> "Cameras":
        """Return the same views at another pixel size of the same aspect ratio."""
        if abs(width * self.height - height * self.width) > max(self.width, self.height):
            raise ValueError(
                f"{width} x {height} has another aspect ratio than {self.width} x {self.height}"
            )
        return Cameras(c2w=self.c2w, fov_y=self.fov_y, width=width, height=height)

    def to(self, device: torch.device | str) -> "Cameras":
        """Return the same cameras on a device."""
        return Cameras(
            c2w=self.c2w.to(device),
            fov_y=self.fov_y.to(device),
            width=self.width,
            height=self.height,
        )

    @property
    def focal(self) -> Float[Tensor, " view"]:
        """Focal length, pixels."""
        return 0.5 * self.height / torch.tan(0.5 * self.fov_y)


def look_at_origin(
    azimuth: Float[Tensor, " view"],
    elevation: Float[Tensor, " view"],
    radius: Float[Tensor, " view"],
) -> Float[Tensor, "view 4 4"]:
    """Return camera-to-world poses on spheres about the origin, looking at it, upright.

    Args:
        azimuth: Radians; 0 looks at the object's front, positive moves the camera towards +x.
        elevation: Radians above the horizon; straight up and down still have a defined roll.
        radius: Distance from the origin, world units.
    """
    sin_a, cos_a = azimuth.sin(), azimuth.cos()
    sin_e, cos_e = elevation.sin(), elevation.cos()
    zero = torch.zeros_like(azimuth)
    # The axes are written down, not crossed with an up vector, so that the poles stay regular.
    right = torch.stack([cos_a, zero, -sin_a], dim=-1)
    up = torch.stack([-sin_a * sin_e, cos_e, -cos_a * sin_e], dim=-1)
    back = torch.stack([sin_a * cos_e, sin_e, cos_a * cos_e], dim=-1)
    rotation = torch.stack([right, up, back], dim=-1)
    c2w = torch.eye(4, dtype=azimuth.dtype, device=azimuth.device).repeat(len(azimuth), 1, 1)
    c2w[:, :3, :3] = rotation
    c2w[:, :3, 3] = back * radius[:, None]
    return c2w


def orbit_cameras(
    num_frames: int = DEFAULT_NUM_FRAMES,
    *,
    size: int,
    elevation: float | Float[Tensor, " view"] = DEFAULT_ELEVATION,
    start_azimuth: float = 0.0,
    fov_y: float = DEFAULT_FOV_Y,
    radius: float = DEFAULT_RADIUS,
) -> Cameras:
    """Return one full turn of equally spaced square views, the first at `start_azimuth`.

    Args:
        num_frames: Views in the turn.
        size: Width and height, pixels.
        elevation: Radians, one for all views or one a view.
        start_azimuth: Radians.
        fov_y: Vertical field of view, radians.
        radius: Distance from the origin, world units.
    """
    azimuth = start_azimuth + torch.arange(num_frames) * (2 * math.pi / num_frames)
    elevation = torch.as_tensor(elevation, dtype=torch.float32).expand(num_frames)
    return Cameras(
        c2w=look_at_origin(azimuth, elevation, torch.full((num_frames,), radius)),
        fov_y=torch.full((num_frames,), fov_y),
        width=size,
        height=size,
    )


def camera_angles(
    cameras: Cameras,
) -> tuple[Float[Tensor, " view"], Float[Tensor, " view"], Float[Tensor, " view"]]:
    """Return azimuth and elevation (radians) and distance of each camera from the origin."""
    position = cameras.c2w[:, :3, 3]
    radius = position.norm(dim=-1)
    azimuth = torch.atan2(position[:, 0], position[:, 2])
    elevation = torch.asin((position[:, 1] / radius).clamp(-1, 1))
    return azimuth, elevation, radius


def camera_rays(
    cameras: Cameras,
) -> tuple[Float[Tensor, "view height width 3"], Float[Tensor, "view height width 3"]]:
    """Return world-space origins and unit directions through every pixel's centre."""
    device, dtype = cameras.c2w.device, cameras.c2w.dtype
    column = torch.arange(cameras.width, device=device, dtype=dtype) + 0.5 - 0.5 * cameras.width
    row = torch.arange(cameras.height, device=device, dtype=dtype) + 0.5 - 0.5 * cameras.height
    y, x = torch.meshgrid(-row, column, indexing="ij")
    focal = rearrange(cameras.focal, "view -> view 1 1")
    local = torch.stack([x / focal, y / focal, -torch.ones_like(x / focal)], dim=-1)
    local = local / local.norm(dim=-1, keepdim=True)
    directions = torch.einsum("vij,vhwj->vhwi", cameras.c2w[:, :3, :3], local)
    origins = rearrange(cameras.c2w[:, :3, 3], "view c -> view 1 1 c").expand_as(directions)
    return origins, directions


def project(
    points: Float[Tensor, "vertex 3"], cameras: Cameras
) -> tuple[Float[Tensor, "view vertex 2"], Float[Tensor, "view vertex"]]:
    """Return pixel coordinates (x right, y down) and depth along the view axis of world points.

    Depth is negative behind a camera, where the pixel coordinates mean nothing.
    """
    offset = points[None] - cameras.c2w[:, None, :3, 3]
    local = torch.einsum("vji,vpj->vpi", cameras.c2w[:, :3, :3], offset)
    depth = -local[..., 2]
    scale = cameras.focal[:, None] / torch.where(depth == 0, torch.ones_like(depth), depth)
    x = 0.5 * cameras.width + local[..., 0] * scale
    y = 0.5 * cameras.height - local[..., 1] * scale
    return torch.stack([x, y], dim=-1), depth
