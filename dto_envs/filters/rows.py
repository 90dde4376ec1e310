"""Linear limits on a whole trajectory as rows of ``lower <= C y <= upper``: differences, velocities, positions.

Velocity and position limits (LeTO, equations 7 to 9; DiffOG, appendix D) are no box in the differences, so that they
need the general solver. Pure numpy; ``y`` is an action chunk (T, D) as one vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.base import InfeasibleLimitsError
from dto_envs.filters.limits import DIFFERENCE_LIMIT, check_limits, dimension_name

VELOCITY_LIMIT = "velocity limit"
POSITION_LIMIT = "position limit"
SLACK = 1e-5  # in physical units: room for a solver where only one trajectory would be left


@dataclass(frozen=True)
class LimitRows:
    """Limits ``lower <= matrix @ y <= upper`` on a chunk ``y`` of n = T * D numbers.

    Attributes:
        matrix: (m, n).
        lower: (B or 1, m), may be -inf.
        upper: (B or 1, m), may be inf.
        names: the limit, dimension and step that each row stands for.
        samples: (B,) numbers by which errors name the samples; None for 0, 1, 2, ...
    """

    matrix: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    names: tuple[str, ...]
    samples: np.ndarray | None = None

    def take(self, samples: np.ndarray) -> LimitRows:
        """The limits of the samples with these numbers."""
        lower, upper = (side[samples] if side.shape[0] > 1 else side for side in (self.lower, self.upper))
        return LimitRows(self.matrix, lower, upper, self.names, samples)

    def excess(self, actions: np.ndarray) -> np.ndarray:
        """How far each sample of (B, T, D) is outside its worst limit, (B,); 0 where none is broken."""
        values = actions.reshape(actions.shape[0], -1).astype(np.float64) @ self.matrix.T
        return np.maximum(np.maximum(values - self.upper, self.lower - values), 0.0).max(axis=1, initial=0.0)


@dataclass(frozen=True)
class PositionLimit:
    """``lower <= matrix @ p <= upper`` at every step of the integrated position (LeTO, equation 7).

    Attributes:
        matrix: (K, D_c), on the position of the trajectory dimensions in their physical units.
        lower: (K,), may be -inf.
        upper: (K,), may be inf.
    """

    matrix: tuple[tuple[float, ...], ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def stack(*parts: LimitRows) -> LimitRows:
    """All rows of several limits."""
    batch = max(part.lower.shape[0] for part in parts)
    lower, upper = (
        np.concatenate([np.broadcast_to(side, (batch, side.shape[1])) for side in sides], axis=1)
        for sides in ([part.lower for part in parts], [part.upper for part in parts])
    )
    names = tuple(name for part in parts for name in part.names)
    return LimitRows(np.concatenate([part.matrix for part in parts]), lower, upper, names)


def difference_rows(
    lower: np.ndarray,
    upper: np.ndarray,
    dims: int,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> LimitRows:
    """Limits (B or 1, T, D_c) on the differences; step 0 is dropped where ``previous`` (B, D) is None."""
    horizon, count = lower.shape[1:]
    matrix = np.zeros((horizon, count, horizon, dims))
    for k, d in enumerate(trajectory):
        for t in range(horizon):
            matrix[t, k, t, d] = 1.0
            if t > 0:
                matrix[t, k, t - 1, d] = -1.0
    first = 1
    if previous is not None:
        first = 0
        last = previous[:, None, list(trajectory)]
        lower, upper = (np.repeat(s, last.shape[0] // s.shape[0], axis=0).astype(np.float64) for s in (lower, upper))
        lower[:, :1] += last
        upper[:, :1] += last
    labels = _labels(DIFFERENCE_LIMIT, trajectory, range(first, horizon), names)
    flat = matrix[first:].reshape(-1, horizon * dims)
    low, high = (side[:, first:].reshape(side.shape[0], -1) for side in (lower, upper))
    return LimitRows(flat, low, high, labels)


def velocity_rows(lower: np.ndarray, upper: np.ndarray, layout: ActionLayout) -> LimitRows:
    """Limits (T, D_c) on the commands of the trajectory dimensions themselves (LeTO, equation 8), normalised."""
    horizon = lower.shape[0]
    selected = np.eye(horizon * layout.size).reshape(horizon, layout.size, -1)[:, list(layout.trajectory)]
    labels = _labels(VELOCITY_LIMIT, layout.trajectory, range(horizon), layout.names)
    return LimitRows(selected.reshape(-1, horizon * layout.size), lower.reshape(1, -1), upper.reshape(1, -1), labels)


def reachable_commands(
    difference: tuple[np.ndarray, np.ndarray],
    velocity: tuple[np.ndarray, np.ndarray],
    previous: np.ndarray | None,
    trajectory: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest commands (B or 1, T, D_c) that limits on differences and commands leave possible.

    Args:
        difference: lowest and highest difference to the step before, (T, D_c) each.
        velocity: lowest and highest command, (T, D_c) each.
        previous: (B, D) last executed actions, or None where the first command is free.
        trajectory: indices of the D_c trajectory dimensions.
    """
    extremes = []
    for change, limit, keep in zip(difference, velocity, (np.maximum, np.minimum), strict=True):
        last = limit[None, 0] if previous is None else keep(previous[:, list(trajectory)] + change[0], limit[0])
        commands = [last]
        for t in range(1, limit.shape[0]):
            commands.append(keep(commands[-1] + change[t], limit[t]))
        extremes.append(np.stack(commands, axis=1))
    return extremes[0], extremes[1]


def position_rows(
    limit: PositionLimit,
    position: np.ndarray,
    layout: ActionLayout,
    horizon: int,
    reachable: tuple[np.ndarray, np.ndarray] | None = None,
) -> LimitRows:
    """Limits on the positions that the commands integrate to (LeTO, equations 4 and 7).

    ``p_i = p_0 + dt (v_0 + ... + v_{i-1})`` for i = 1 to T - 1, with ``v`` the commands in physical units.

    Args:
        limit: what holds at every step.
        position: (B, D_c) p_0, physical units.
        layout: must command velocities; brings dt and the units' scale.
        horizon: T.
        reachable: from :func:`reachable_commands`; the limit then asks at each step for no more than braking, or
            turning back, as hard as these commands can, so that it can always be met, also from a position beyond it.

    Raises:
        ValueError: the layout commands no velocities, or shapes do not fit.
        InfeasibleLimitsError: the limits contradict each other, or, without ``reachable``, ``position`` breaks them.
    """
    if layout.difference != "acceleration":
        raise ValueError("position limits integrate velocity commands; this layout commands positions")
    matrix = np.asarray(limit.matrix, dtype=np.float64)
    low, high = (np.asarray(side, dtype=np.float64) for side in (limit.lower, limit.upper))
    dims = len(layout.trajectory)
    if matrix.ndim != 2 or matrix.shape[1] != dims or low.shape != matrix.shape[:1] or high.shape != low.shape:
        raise ValueError(f"a position limit has a matrix (K, {dims}) and bounds (K,); got {matrix.shape}, {low.shape}")
    if position.ndim != 2 or position.shape[1] != dims or not np.isfinite(position).all():
        raise ValueError(f"positions are finite numbers of shape (B, {dims}); got {position.shape}")
    check_limits(low[None], high[None], None, POSITION_LIMIT)
    now = position @ matrix.T
    broken = (now < low) | (now > high)
    if reachable is None and broken.any():
        sample, k = np.argwhere(broken)[0]
        raise InfeasibleLimitsError(
            f"{POSITION_LIMIT} already broken at step 0: row {k} of sample {sample} is {now[sample, k]:g}, outside "
            f"[{low[k]:g}, {high[k]:g}] in dimension {_involved(matrix[k], layout)}"
        )
    scale = np.array([layout.scale[d] for d in layout.trajectory])
    rows = np.zeros((horizon - 1, matrix.shape[0], horizon, layout.size))
    for i in range(1, horizon):
        rows[i - 1, :, :i, list(layout.trajectory)] = (layout.dt * matrix * scale).T[:, :, None]
    labels = tuple(
        f"{POSITION_LIMIT} row {k}, dimension {_involved(matrix[k], layout)}, step {i}"
        for i in range(1, horizon)
        for k in range(matrix.shape[0])
    )
    lower, upper = (np.tile(side - now, horizon - 1) for side in (low, high))
    if reachable is not None:
        least, most = _reach(matrix * scale * layout.dt, *reachable)
        lower, upper = np.minimum(lower, most - SLACK), np.maximum(upper, least + SLACK)
    return LimitRows(rows.reshape(-1, horizon * layout.size), lower, upper, labels)


def _reach(weights: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that K weighted sums (K, D_c) of commands (B, T, D_c) can add up to, (B, (T - 1) * K)."""
    positive, negative = np.maximum(weights, 0.0), np.minimum(weights, 0.0)
    least = lowest @ positive.T + highest @ negative.T
    most = highest @ positive.T + lowest @ negative.T
    least, most = (side[:, :-1].cumsum(axis=1).reshape(side.shape[0], -1) for side in (least, most))
    return least, most


def _labels(
    limit: str, trajectory: Sequence[int], steps: Sequence[int], names: Sequence[str] | None
) -> tuple[str, ...]:
    return tuple(f"{limit}, dimension {dimension_name(d, names)}, step {t}" for t in steps for d in trajectory)


def _involved(row: np.ndarray, layout: ActionLayout) -> str:
    return ", ".join(layout.names[d] for d, weight in zip(layout.trajectory, row, strict=True) if weight != 0.0)
