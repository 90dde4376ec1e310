"""How smooth a commanded trajectory is, and by how much it breaks its limits: pure numpy, one episode or thousands.

Two scales are used. First differences and limits live on the normalised scale, where the action filters work and the
papers report. Velocity, acceleration and jerk are physical: the command times the layout's ``scale``, at the control
rate, within groups of dimensions that share a unit (linear and rotational motion are never added up). A position
command is differentiated once to give the velocity, a velocity command is the velocity; the layout says which.

What is undefined is NaN, never a flattering number. The conventions:

- An episode of one action has no differences: its maximum, mean, standard deviation and violations are 0.
- A trajectory that stands still has velocity, acceleration and jerk 0; SPARC, LDLJ and normalised jerk are 0/0: NaN.
- A motion without jerk has a normalised jerk of 0 and no logarithm of it: LDLJ is NaN.
- Without ``n_action_steps``, or in an episode of a single chunk, there is no chunk boundary to speak of: NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.motion import Padded, motion_metrics, ratio

# Actions are float32: a difference that meets its limit exactly can exceed it by this much once rounded.
VIOLATION_TOLERANCE = 1e-6

# Episodes that are worked on together: bounds the memory, changes no result.
_BLOCK = 256

Bound = float | np.ndarray | tuple[Any, Any]


@dataclass(frozen=True)
class GroupMetrics:
    """The metrics of a group of dimensions that share a unit, such as linear or rotational motion.

    Attributes:
        max_difference: per dimension the largest absolute first difference over time, averaged over the group's
            dimensions; normalised (DiffOG, section V-A; LeTO, Tables IV to VII, "max").
        std_difference: the same with the standard deviation of the signed first differences (DiffOG).
        mean_abs_difference: the same with the mean of the absolute first differences (LeTO, "mean").
        std_abs_difference: the same with the standard deviation of the absolute first differences (LeTO, "std": in its
            tables this lies below the mean, which the standard deviation of signed differences cannot).
        peak_velocity: largest Euclidean norm of the velocity, in the layout's units (per second for positions).
        peak_acceleration: largest Euclidean norm of the acceleration.
        peak_jerk: largest Euclidean norm of the jerk.
        normalized_jerk: sqrt(1/2 integral |jerk|^2 dt * duration^5 / length^2), with the path's length; Teulings,
            Contreras-Vidal, Stelmach and Adler (1997).
        sparc: spectral arc length of the speed, at most -1 where anything moves, the larger the smoother;
            Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet (2015).
        ldlj: log dimensionless jerk, -ln(duration^3 / peak_velocity^2 * integral |jerk|^2 dt), the larger the
            smoother; the same paper, with the jerk of the velocity vector instead of the speed's.
    """

    max_difference: float
    std_difference: float
    mean_abs_difference: float
    std_abs_difference: float
    peak_velocity: float
    peak_acceleration: float
    peak_jerk: float
    normalized_jerk: float
    sparc: float
    ldlj: float


@dataclass(frozen=True)
class TrajectoryMetrics:
    """The metrics of one episode of commanded actions, over all trajectory dimensions.

    Attributes:
        steps: number of actions.
        max_difference: per trajectory dimension the largest absolute first difference over time, averaged over the
            dimensions; normalised.
        std_difference: the same with the standard deviation of the signed first differences, divided by their number.
        mean_abs_difference: the same with the mean of the absolute first differences.
        std_abs_difference: the same with the standard deviation of the absolute first differences.
        boundary_max_difference: ``max_difference`` of the jumps between the last action executed of one chunk and the
            first of the next; NaN without a boundary.
        boundary_mean_difference: ``mean_abs_difference`` of these jumps; NaN without a boundary.
        interior_mean_difference: ``mean_abs_difference`` of all other differences; NaN without any.
        violations: number of differences that exceed their limit by more than ``VIOLATION_TOLERANCE``.
        max_violation: largest excess over any limit, 0 where all are kept; normalised.
        violations_by_dimension: ``violations`` for each trajectory dimension.
        max_violation_by_dimension: ``max_violation`` for each trajectory dimension.
        groups: name -> metrics of each group of dimensions that share a unit.
    """

    steps: int
    max_difference: float
    std_difference: float
    mean_abs_difference: float
    std_abs_difference: float
    boundary_max_difference: float
    boundary_mean_difference: float
    interior_mean_difference: float
    violations: int
    max_violation: float
    violations_by_dimension: tuple[int, ...]
    max_violation_by_dimension: tuple[float, ...]
    groups: Mapping[str, GroupMetrics]


def trajectory_metrics(
    actions: np.ndarray, layout: ActionLayout, n_action_steps: int | None = None, bound: Bound | None = None
) -> TrajectoryMetrics:
    """Metrics of one episode.

    Args:
        actions: (T, D_a) commanded actions in the environment's units, from the first to the one that ends the episode.
        layout: what an action means.
        n_action_steps: actions executed of every chunk; gives the jumps at chunk boundaries.
        bound: limit on the normalised first differences: a number, one per trajectory dimension (D_c,), or a pair
            (lower, upper) of those; None is the layout's.

    Raises:
        ValueError: the shape does not fit the layout, an action is NaN or infinite, or the bound does not fit.
    """
    columns = batch_metrics([actions], layout, n_action_steps, bound)
    single = {name: values[0] for name, values in columns.items()}
    groups = {}
    for name in motion_groups(layout):
        prefix = f"{name}/"
        groups[name] = GroupMetrics(
            **{key.removeprefix(prefix): float(value) for key, value in single.items() if key.startswith(prefix)}
        )
    return TrajectoryMetrics(
        **{key: value.item() for key, value in single.items() if "/" not in key and np.ndim(value) == 0},
        violations_by_dimension=tuple(single["violations_by_dimension"].tolist()),
        max_violation_by_dimension=tuple(single["max_violation_by_dimension"].tolist()),
        groups=groups,
    )


def batch_metrics(
    episodes: Sequence[np.ndarray],
    layout: ActionLayout,
    n_action_steps: int | None = None,
    bound: Bound | None = None,
    tolerance: float = VIOLATION_TOLERANCE,
) -> dict[str, np.ndarray]:
    """Metrics of many episodes at once, as columns.

    Args:
        episodes: E arrays (T_e, D_a) of commanded actions in the environment's units; lengths may differ.
        layout: what an action means.
        n_action_steps: as in :func:`trajectory_metrics`.
        bound: as in :func:`trajectory_metrics`.
        tolerance: an excess over a limit up to this counts as none.

    Returns:
        The fields of :class:`TrajectoryMetrics` as arrays (E,), those by dimension as (E, D_c), and the fields of
        :class:`GroupMetrics` under ``group/field``.

    Raises:
        ValueError: as in :func:`trajectory_metrics`; names the episode.
    """
    if n_action_steps is not None and n_action_steps < 1:
        raise ValueError(f"n_action_steps must be at least 1, not {n_action_steps}")
    limits = difference_limits(layout, bound)
    arrays = [_checked(actions, layout, index) for index, actions in enumerate(episodes)]
    if not arrays:
        raise ValueError("there are no episodes to compute metrics of")
    blocks = [
        _block_metrics(Padded.of(arrays[start : start + _BLOCK], layout), layout, n_action_steps, limits, tolerance)
        for start in range(0, len(arrays), _BLOCK)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def motion_groups(layout: ActionLayout) -> dict[str, tuple[int, ...]]:
    """Name -> dimensions of the groups in which motion is measured: the layout's, or one for each unit.

    A layout without groups gets one for every unit among its trajectory dimensions, named ``all`` where there is one.
    """
    if layout.groups:
        return dict(layout.groups)
    units = dict.fromkeys(layout.units[i] for i in layout.trajectory)
    if len(units) == 1:
        return {"all": layout.trajectory}
    return {unit: tuple(i for i in layout.trajectory if layout.units[i] == unit) for unit in units}


def difference_limits(layout: ActionLayout, bound: Bound | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (D_c,) on the normalised first differences.

    Args:
        layout: what an action means.
        bound: a number, (D_c,), a pair (lower, upper) of those, or None for the layout's. A single bound is symmetric.

    Raises:
        ValueError: the bound has another shape, is NaN, or its lower limit exceeds the upper one.
    """
    size = len(layout.trajectory)
    value = layout.bound if bound is None else bound
    lower, upper = value if isinstance(value, tuple) else (np.negative(value), value)
    limits = [np.asarray(side, dtype=np.float64) for side in (lower, upper)]
    if any(side.shape not in ((), (1,), (size,)) for side in limits):
        raise ValueError(f"a bound must be a number or have one entry for each of the {size} trajectory dimensions")
    low, high = (np.broadcast_to(side, (size,)) for side in limits)
    if not np.all(low <= high):
        raise ValueError(
            f"lower limits {low.tolist()} must not exceed upper limits {high.tolist()}, and neither is NaN"
        )
    return low, high


def _checked(actions: np.ndarray, layout: ActionLayout, index: int) -> np.ndarray:
    array = np.asarray(actions, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != layout.size or not len(array):
        raise ValueError(
            f"episode {index}: actions must have shape (T, {layout.size}) with T of at least 1, not {array.shape}"
        )
    if not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ValueError(f"episode {index}: the action at step {step} is NaN or infinite")
    return array


def _block_metrics(
    padded: Padded,
    layout: ActionLayout,
    n_action_steps: int | None,
    limits: tuple[np.ndarray, np.ndarray],
    tolerance: float,
) -> dict[str, np.ndarray]:
    trajectory = list(layout.trajectory)
    by_dimension = _difference_statistics(padded)
    columns: dict[str, np.ndarray] = {"steps": padded.steps}
    columns |= {name: values[:, trajectory].mean(axis=1) for name, values in by_dimension.items()}
    differences = padded.differences(1)[..., trajectory]
    columns |= _boundary_metrics(differences, padded.steps, n_action_steps)
    columns |= _violation_metrics(differences, padded.steps, limits, tolerance)
    for group, dimensions in motion_groups(layout).items():
        chosen = list(dimensions)
        values = {name: values[:, chosen].mean(axis=1) for name, values in by_dimension.items()}
        values |= motion_metrics(padded, layout, chosen)
        columns |= {f"{group}/{name}": value for name, value in values.items()}
    return columns


def _difference_statistics(padded: Padded) -> dict[str, np.ndarray]:
    """Largest, mean and standard deviation of first differences in each dimension, (E, D_a)."""
    difference = padded.differences(1)
    magnitude = np.abs(difference)
    count = np.maximum(padded.steps - 1, 1)[:, None]
    mean, mean_abs = difference.sum(axis=1) / count, magnitude.sum(axis=1) / count
    valid = (np.arange(difference.shape[1]) < (padded.steps - 1)[:, None])[..., None]

    def deviation(values: np.ndarray, center: np.ndarray) -> np.ndarray:
        return np.sqrt((np.where(valid, values - center[:, None], 0.0) ** 2).sum(axis=1) / count)

    return {
        "max_difference": magnitude.max(axis=1, initial=0.0),
        "std_difference": deviation(difference, mean),
        "mean_abs_difference": mean_abs,
        "std_abs_difference": deviation(magnitude, mean_abs),
    }


def _boundary_metrics(differences: np.ndarray, steps: np.ndarray, n_action_steps: int | None) -> dict[str, np.ndarray]:
    """Jumps between chunks: difference ``t`` leads from action ``t`` to action ``t + 1``."""
    magnitude = np.abs(differences)
    index = np.arange(magnitude.shape[1])
    valid = index < (steps - 1)[:, None]
    at_boundary = np.zeros_like(valid) if n_action_steps is None else valid & ((index + 1) % n_action_steps == 0)
    interior = valid & ~at_boundary if n_action_steps is not None else np.zeros_like(valid)

    def mean(where: np.ndarray) -> np.ndarray:
        total = np.where(where[..., None], magnitude, 0.0).sum(axis=1).mean(axis=1)
        return ratio(total, where.sum(axis=1))

    largest = np.where(at_boundary[..., None], magnitude, 0.0).max(axis=1, initial=0.0).mean(axis=1)
    return {
        "boundary_max_difference": np.where(at_boundary.any(axis=1), largest, np.nan),
        "boundary_mean_difference": mean(at_boundary),
        "interior_mean_difference": mean(interior),
    }


def _violation_metrics(
    differences: np.ndarray, steps: np.ndarray, limits: tuple[np.ndarray, np.ndarray], tolerance: float
) -> dict[str, np.ndarray]:
    lower, upper = limits
    valid = (np.arange(differences.shape[1]) < (steps - 1)[:, None])[..., None]
    excess = np.where(valid, np.maximum(np.maximum(differences - upper, lower - differences), 0.0), 0.0)
    counts = (excess > tolerance).sum(axis=1)
    sizes = excess.max(axis=1, initial=0.0)
    return {
        "violations": counts.sum(axis=1),
        "max_violation": sizes.max(axis=1),
        "violations_by_dimension": counts,
        "max_violation_by_dimension": sizes,
    }


class DifferenceTracker:
    """First differences of a running episode, for wrappers: constant time and memory per step.

    Its figures equal those of :func:`trajectory_metrics` on the actions given so far, up to rounding.
    """

    def __init__(self, layout: ActionLayout, bound: Bound | None = None) -> None:
        """Track actions of ``layout``; ``bound`` as in :func:`trajectory_metrics`."""
        self.layout = layout
        self._lower, self._upper = difference_limits(layout, bound)
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        size = len(self.layout.trajectory)
        self._previous: np.ndarray | None = None
        self._count = 0
        self._largest, self._total = np.zeros(size), np.zeros(size)
        self._mean, self._squares = np.zeros(size), np.zeros(size)
        self.violations = 0
        self.max_violation = 0.0

    def update(self, action: np.ndarray) -> None:
        """Take one commanded action (D_a,) in the environment's units; raises ValueError where it does not fit."""
        raw = _checked(np.asarray(action)[None], self.layout, 0)[0]
        current = self.layout.normalize(raw)[list(self.layout.trajectory)]
        previous, self._previous = self._previous, current
        if previous is None:
            return
        difference = current - previous
        self._count += 1
        self._largest = np.maximum(self._largest, np.abs(difference))
        self._total += np.abs(difference)
        delta = difference - self._mean
        self._mean += delta / self._count
        self._squares += delta * (difference - self._mean)
        excess = np.maximum(np.maximum(difference - self._upper, self._lower - difference), 0.0)
        self.violations += int((excess > VIOLATION_TOLERANCE).sum())
        self.max_violation = max(self.max_violation, float(excess.max()))

    def metrics(self) -> dict[str, float]:
        """The figures so far, by the names they have in :class:`TrajectoryMetrics`."""
        count = max(self._count, 1)
        return {
            "max_difference": float(self._largest.mean()),
            "std_difference": float(np.sqrt(self._squares / count).mean()),
            "mean_abs_difference": float((self._total / count).mean()),
            "violations": self.violations,
            "max_violation": self.max_violation,
        }
