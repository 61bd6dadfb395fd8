"""The radiance field: a signed distance on a dense grid and a colour on nerfstudio's planes.

Points are world coordinates everywhere outside this file. Inside, the distance lives on the
vertices of a box of cubic voxels and is measured in voxels, so that learning rates do not know the
scene's scale; the colour lives in [-1, 1] on the smallest cube about that box.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from nerfstudio.field_components.encodings import KPlanesEncoding
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from threed.kernels import in_parts
from threed.kernels.planes import look_up, look_up_back

CONFIG_KEY = "config"


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """Sizes of a field."""

    resolution: tuple[int, int, int] = (96, 96, 96)
    """Vertices of the distance grid along x, y and z."""
    colour_resolution: int = 128
    """Texels along each side of the three colour planes."""
    num_components: int = 16
    """Channels of the colour planes."""
    width: int = 32
    """Hidden width of the network that turns plane features into colour."""

    def __post_init__(self) -> None:
        if min(self.resolution) < 4:
            raise ValueError(f"resolution is {self.resolution}; three numbers of at least 4")
        for name in ("colour_resolution", "num_components", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


class Field(nn.Module):
    """A closed surface, the zero of a signed distance, with a colour at every point.

    Args:
        config: Sizes.
        lower: World position of the grid's first vertex.
        voxel: World length of a voxel's edge.
    """

    lower: Tensor
    voxel: Tensor

    def __init__(
        self, config: FieldConfig, lower: Float[Tensor, "3"], voxel: float | Float[Tensor, ""]
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("lower", lower.detach().clone().float())
        self.register_buffer("voxel", torch.as_tensor(voxel, dtype=torch.float32).clone())
        width, height, depth = config.resolution
        # Indexed [z, y, x], as grid_sample wants it; voxels; positive (outside) until it is set.
        self.distance = nn.Parameter(torch.ones(depth, height, width))
        self.planes = KPlanesEncoding(
            resolution=(config.colour_resolution,) * 3,
            num_components=config.num_components,
            init_a=-0.01,
            init_b=0.01,
            reduce="sum",
        )
        # A texel's channels side by side, for it is read as a whole.
        for plane in self.planes.plane_coefs:
            plane.data = plane.data.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        self.colour = nn.Sequential(
            nn.Linear(config.num_components, config.width),
            nn.ReLU(),
            nn.Linear(config.width, 3),
        )

    def reset_colour(self, colour: Float[Tensor, "3"], generator: torch.Generator) -> None:
        """Draw the colour's parameters anew, such that it starts at one colour everywhere."""
        with torch.no_grad():
            for plane in self.planes.plane_coefs:
                plane.copy_(0.01 * (2 * torch.rand(plane.shape, generator=generator) - 1))
            for layer in (self.colour[0], self.colour[2]):
                noise = torch.randn(layer.weight.shape, generator=generator)  # pyright: ignore[reportArgumentType, reportCallIssue]
                layer.weight.copy_(noise * (2 / layer.weight.shape[1]) ** 0.5)  # pyright: ignore[reportCallIssue, reportIndexIssue]
                layer.bias.zero_()  # pyright: ignore[reportCallIssue]
            self.colour[2].bias.copy_(torch.logit(colour.clamp(0.02, 0.98)))  # pyright: ignore[reportCallIssue]

    @property
    def size(self) -> Float[Tensor, "3"]:
        """World extent of the grid along x, y and z."""
        return self.voxel * (self.lower.new_tensor(self.config.resolution) - 1)

    @property
    def box(self) -> Float[Tensor, "2 3"]:
        """World corners of the grid."""
        return torch.stack([self.lower, self.lower + self.size])

    @property
    def bounds(self) -> Float[Tensor, "2 3"]:
        """World box that holds the surface, a voxel wider; the whole grid where there is none."""
        inside = self.distance.detach() < 0
        if not bool(inside.any()):
            return self.box
        span = []
        for axis in (2, 1, 0):
            others = tuple(other for other in range(3) if other != axis)
            hit = inside.any(dim=others[1]).any(dim=others[0]).nonzero()
            span.append(torch.stack([hit.min() - 2, hit.max() + 2]))
        corners = self.lower + self.voxel * torch.stack(span, dim=-1)
        return corners.clamp(self.box[0], self.box[1])

    def signed_distance(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Return the distance to the surface in world units, negative inside.

        Outside the grid it is the distance of the nearest point of the grid plus the way there.
        """
        nearest = torch.minimum(torch.maximum(points, self.box[0]), self.box[1])
        local = 2 * (nearest - self.lower) / self.size - 1
        values = F.grid_sample(
            self.distance[None, None],
            local.reshape(1, 1, 1, -1, 3),
            align_corners=True,
            padding_mode="border",
        )
        distance = values.reshape(points.shape[:-1]) * self.voxel
        return distance + (points - nearest).norm(dim=-1)

    def normals(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Return unit directions of growing distance: the outward normals on the surface.

        Differences over two voxels, so that they turn gently from voxel to voxel.
        """
        steps = self.voxel * torch.eye(3, device=points.device)
        ahead = self.signed_distance(points[..., None, :] + steps)
        behind = self.signed_distance(points[..., None, :] - steps)
        return F.normalize(ahead - behind, dim=-1, eps=1e-6)

    def albedo(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Return colours without light, sRGB in [0, 1], straight."""
        local = (points - self.lower - 0.5 * self.size) / (0.5 * self.size.max())
        local = local.reshape(-1, 3)
        if local.device.type == "cpu" and not local.requires_grad:
            features = _Planes.apply(local, *self.planes.plane_coefs)
        else:
            features = self.planes(local)
        return torch.sigmoid(self.colour(features)).reshape(points.shape)

    def save(self, path: Path | str) -> None:
        """Write weights and sizes into one safetensors file."""
        tensors = {name: value.contiguous().cpu() for name, value in self.state_dict().items()}
        save_file(tensors, path, metadata={CONFIG_KEY: json.dumps(asdict(self.config))})

    @staticmethod
    def load(path: Path | str) -> "Field":
        """Return the field that `save` wrote, on the CPU; bit for bit the same."""
        with safe_open(path, framework="pt") as file:
            saved = json.loads(file.metadata()[CONFIG_KEY])
            # JSON knows no tuples.
            config = FieldConfig(**saved | {"resolution": tuple(saved["resolution"])})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        field = Field(config, tensors["lower"], tensors["voxel"])
        field.load_state_dict(tensors)
        return field


class _Planes(torch.autograd.Function):
    """What nerfstudio's planes do, whole texels at once, for points that want no gradient."""

    @staticmethod
    def forward(ctx, points: Tensor, *planes: Tensor) -> Tensor:
        ctx.points, ctx.shapes = points.detach().contiguous(), [plane.shape for plane in planes]
        out = points.new_empty(len(points), len(planes[0]))
        laid = [plane.detach().permute(1, 2, 0).contiguous().numpy() for plane in planes]
        at, filled = ctx.points.numpy(), out.numpy()
        in_parts(lambda part: look_up(at[part], *laid, filled[part]), len(at))
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        laid = [grad.new_zeros(height, width, depth) for depth, height, width in ctx.shapes]
        at, rows, planes = ctx.points.numpy(), grad.contiguous().numpy(), [g.numpy() for g in laid]

        def back(part: slice) -> None:
            for which in range(part.start, part.stop):
                look_up_back(at, rows, which, planes[which])

        in_parts(back, len(planes), least=1)
        return None, *(g.permute(2, 0, 1) for g in laid)
