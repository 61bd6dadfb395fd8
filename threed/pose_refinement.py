"""A clip's cameras from a first guess: a turn with few numbers first, then each camera its own.

A camera is that of an even turn, moved by smooth waves of the speed and the height along the clip
and by a small motion of its own, as nerfstudio's camera optimiser has it (SO3xR3), each held back
by how likely it is. Gauss-Newton steps bring down `threed.coherence`'s shortfall. The distance
goes with the focal length, and which point of the axis is the origin stays as guessed.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from threed.cameras import Cameras, look_at_origin
from threed.coherence import Outlines, Shortfall, shortfall
from threed.progress import finish

WAVES = 5
POINTS_A_VIEW = 40
OUTLIER = 1.5
"""Shortfalls beyond so many pixels count less and less: mattes err."""
PIXEL_NOISE = 0.35
"""What outlines are trusted to, pixels."""
NUM_SHAPE = 6


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The cameras of a clip in few numbers and many small ones."""

    times: Float[Tensor, " view"]
    """When a view was taken, 0 at the first and 1 at the last."""
    shape: Float[Tensor, "6"]
    """Angle turned from first to last view (counter-clockwise is positive), elevation, and the
    pitch, yaw and roll by which the view differs from one at the origin, radians; log focal."""
    waves: Float[Tensor, "wave 2"]
    """Cosine waves of azimuth and elevation along the clip, radians."""
    motions: Float[Tensor, "view 6"]
    """Each camera's turn and shift in its own axes."""
    radius: float
    """Distance from the axis' origin for each pixel of focal length."""
    width: int
    height: int

    def select(self, index: list[int]) -> "Turn":
        """Return the turn with the chosen views only."""
        return replace(self, times=self.times[index], motions=self.motions[index])

    def cameras(self) -> Cameras:
        """Return the cameras that the numbers mean."""
        angle, elevation, pitch, yaw, roll, log_focal = self.shape.unbind()
        number = torch.arange(1, 1 + len(self.waves))
        wave = torch.cos(math.pi * number * self.times[:, None]) @ self.waves
        azimuth = angle * self.times + wave[:, 0]
        # A longer lens from farther off shows the same size: only the perspective changes.
        radius = (self.radius * log_focal.exp()).expand(len(azimuth))
        c2w = look_at_origin(azimuth, elevation + wave[:, 1], radius)
        view = torch.stack([pitch, yaw, roll])[None].expand(len(azimuth), 3)
        turned = rotation(view) @ rotation(self.motions[:, :3])
        shift = torch.einsum("vij,vj->vi", c2w[:, :3, :3] @ rotation(view), self.motions[:, 3:])
        c2w[:, :3, 3] += shift
        c2w[:, :3, :3] = c2w[:, :3, :3] @ turned
        fov_y = 2 * torch.atan(0.5 * self.height / log_focal.exp())
        return Cameras(
            c2w=c2w, fov_y=fov_y.expand(len(azimuth)), width=self.width, height=self.height
        )


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """How far each number may wander from where it is expected: deviations, 0 is held."""

    shape: tuple[float, ...]
    """As in `Turn.shape`, about the first guess."""
    waves: float = 0.0
    """Of the first azimuth wave, radians; later ones less, those of elevation half of it."""
    motion: tuple[float, float] = (0.0, 0.0)
    """Of each camera's turn, radians, and shift, world units."""
    num_steps: int = 20


def even_freedom(*, fov_told: bool, elevation_told: bool, angle: float = 0.5) -> Freedom:
    """Return the freedom of a level camera's even turn, its angle known to within a deviation."""
    return Freedom(
        shape=(
            angle,
            0.0 if elevation_told else 0.5,
            0.0,
            0.1,
            0.15,
            0.0 if fov_told else 0.35,
        )
    )


def refined(turn: Turn, lines: Outlines, freedom: Freedom) -> tuple[Turn, float]:
    """Return what `refined_steps` does, telling nobody."""
    return finish(refined_steps(turn, lines, freedom))


def refined_steps(
    turn: Turn, lines: Outlines, freedom: Freedom
) -> Generator[None, None, tuple[Turn, float]]:
    """Return a turn that the outlines agree with better, and their root mean shortfall, pixels.

    Between two of its steps, of which there are at most the freedom's, it yields.
    """
    expected = turn
    best, best_cost = turn, math.inf
    damping = 1e-3
    found = shortfall(lines, turn.cameras())
    cost = _cost(found, turn, expected, freedom)
    for _ in range(freedom.num_steps):
        best, best_cost = turn, cost
        step = _step(found, best, expected, freedom, damping)
        turn = _moved(best, freedom, step)
        after = shortfall(lines, turn.cameras())
        cost = _cost(after, turn, expected, freedom)
        if cost < best_cost:
            found, damping = after, 0.2 * damping
            if best_cost - cost < 2e-4 * best_cost:
                break
        else:
            turn, cost, damping = best, best_cost, 8 * damping
            if damping > 1e3:
                break
        yield
    return turn, root_shortfall(found)


def root_shortfall(found: Shortfall) -> float:
    """Return the root mean square of a robust shortfall, pixels."""
    return float(_robust(found.residual)[0].mean().sqrt())


def _robust(
    residual: Float[Tensor, " point"],
) -> tuple[Float[Tensor, " point"], Float[Tensor, " point"]]:
    """Return Geman and McClure's squares, and the weights that make plain squares of them."""
    square = residual.square()
    # Grows on beyond the outlier's size, else a bad guess would have no slope.
    loss = OUTLIER * ((OUTLIER**2 + square).sqrt() - OUTLIER) * 2
    weight = OUTLIER / (OUTLIER**2 + square).sqrt()
    return loss, weight


def _deviations(turn: Turn, freedom: Freedom) -> Float[Tensor, " number"]:
    """Return each number's deviation, in the order shape, waves, motions."""
    falling = 1 / torch.arange(1, 1 + len(turn.waves)).float()
    waves = freedom.waves * torch.stack([falling, 0.5 * falling], dim=-1)
    motion = torch.tensor([freedom.motion[0]] * 3 + [freedom.motion[1]] * 3)
    return torch.cat(
        [torch.tensor(freedom.shape), waves.reshape(-1), motion.repeat(len(turn.times))]
    )


def _numbers(turn: Turn) -> Float[Tensor, " number"]:
    return torch.cat([turn.shape, turn.waves.reshape(-1), turn.motions.reshape(-1)])


def _with_numbers(turn: Turn, numbers: Float[Tensor, " number"]) -> Turn:
    waves_end = NUM_SHAPE + turn.waves.numel()
    return replace(
        turn,
        shape=numbers[:NUM_SHAPE],
        waves=numbers[NUM_SHAPE:waves_end].view_as(turn.waves),
        motions=numbers[waves_end:].view_as(turn.motions),
    )


def _moved(turn: Turn, freedom: Freedom, step: Float[Tensor, " free"]) -> Turn:
    numbers = _numbers(turn)
    numbers[_deviations(turn, freedom) > 0] += step
    return _with_numbers(turn, numbers)


def _cost(found: Shortfall, turn: Turn, expected: Turn, freedom: Freedom) -> float:
    deviation = _deviations(turn, freedom)
    free = deviation > 0
    away = ((_numbers(turn) - _numbers(expected))[free] / deviation[free]).square().sum()
    return float(_robust(found.residual)[0].sum() / PIXEL_NOISE**2 + away)


def _step(
    found: Shortfall, turn: Turn, expected: Turn, freedom: Freedom, damping: float
) -> Float[Tensor, " free"]:
    """Return a damped Gauss-Newton step of the free numbers."""
    deviation = _deviations(turn, freedom)
    free = deviation > 0
    slopes = _pose_slopes(turn, free)
    jacobian = torch.einsum("psk,pskn->pn", found.by_pose, slopes[found.camera])
    if bool(free[NUM_SHAPE - 1]):
        jacobian[:, int(free[: NUM_SHAPE - 1].sum())] += found.by_log_focal
    weight = _robust(found.residual)[1] / PIXEL_NOISE**2
    precision = 1 / deviation[free].square()
    weighted = jacobian * weight[:, None]
    normal = jacobian.T @ weighted + torch.diag(precision)
    away = (_numbers(turn) - _numbers(expected))[free] * precision
    downhill = -(weighted.T @ found.residual + away)
    normal = normal + damping * torch.diag(normal.diagonal())
    return torch.linalg.solve(normal.double(), downhill.double()).float()


def _pose_slopes(turn: Turn, free: Tensor) -> Float[Tensor, "view 6 free"]:
    """Return how each camera moves, in its own axes, with each free number."""
    base = turn.cameras().c2w.double()
    numbers = _numbers(turn)
    count, first_own = len(turn.times), NUM_SHAPE + turn.waves.numel()
    columns = []
    for index in free.nonzero()[:, 0].tolist():
        column = torch.zeros(count, 6, dtype=torch.float64)
        if index >= first_own:
            # Its own motion comes last, so it is in the camera's axes already.
            view, part = divmod(index - first_own, 6)
            column[view, part] = 1.0
        else:
            nudged = numbers.clone()
            nudged[index] += 1e-3
            c2w = _with_numbers(turn, nudged).cameras().c2w.double()
            spin = base[:, :3, :3].mT @ c2w[:, :3, :3]
            column[:, 0] = 0.5 * (spin[:, 2, 1] - spin[:, 1, 2])
            column[:, 1] = 0.5 * (spin[:, 0, 2] - spin[:, 2, 0])
            column[:, 2] = 0.5 * (spin[:, 1, 0] - spin[:, 0, 1])
            moved = c2w[:, :3, 3] - base[:, :3, 3]
            column[:, 3:] = torch.einsum("vji,vj->vi", base[:, :3, :3], moved)
            column /= 1e-3
        columns.append(column)
    return torch.stack(columns, dim=-1).float()


def rotation(vector: Float[Tensor, "view 3"]) -> Float[Tensor, "view 3 3"]:
    """Return the rotations about axes by their lengths, radians."""
    x, y, z = vector.unbind(dim=-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return torch.linalg.matrix_exp(skew.view(-1, 3, 3))
