"""Trajectory optimisation for anybody's actions: one function, no environment, no network, no layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_envs.filters.limits import as_float64, round_within, step_limits

SOLVERS = ("auto", "boxqp", "proxqp", "qpth")


def optimize_trajectory(
    actions: Any,
    Q: Any,  # noqa: N803
    lower: Any,
    upper: Any,
    *,
    alpha: float,
    trajectory_dims: Sequence[int],
    previous: Any | None = None,
    solver: str = "auto",
) -> Any:
    """Minimise ``1/2 y'Qy - a'y + alpha/2 |D S y|^2`` with ``lower <= D S y <= upper`` (DiffOG, equations 6 and 7).

    ``S`` selects the trajectory dimensions and ``D`` takes differences from step to step. With ``previous``, the
    difference from it to the first action is limited too, but not smoothed.

    Args:
        actions: (B, T, D) numpy array or torch tensor; ``a`` above.
        Q: (B, T * D, T * D), or one (T * D, T * D) for all, positive definite; entry ``t * D + d`` is dimension ``d``
            at step ``t``.
        lower: lower limits on the differences, already multiplied by dt: broadcastable to (B, T, D_c), where step 0
            is the difference to ``previous``; without ``previous`` also to (B, T - 1, D_c). May be -inf.
        upper: likewise; may be inf.
        alpha: smoothing weight, >= 0.
        trajectory_dims: the D_c dimensions that form a trajectory.
        previous: (B, D) last executed actions, or None: the first action is free.
        solver: "auto" or "boxqp" (exact, the default); "proxqp" (proxsuite); "qpth" (one sample at a time, its
            residual checked). Torch tensors are differentiable by Q and the actions with every one of them, with the
            default also by ``previous`` and the limits.

    Returns:
        (B, T, D), same type and dtype as ``actions``.

    Raises:
        ValueError: shapes do not fit, a number is NaN or infinite, Q is not positive definite, unknown solver.
        InfeasibleLimitsError: a lower limit exceeds its upper one; names dimension and step.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose one of {', '.join(SOLVERS)}")
    if not isinstance(actions, np.ndarray) and type(actions).__module__.startswith("torch"):
        from dto_envs.filters.optimize_torch import optimize

        return optimize(actions, Q, lower, upper, alpha, trajectory_dims, previous, solver)
    chunk = np.asarray(actions)
    wide, last = as_float64(chunk, previous)
    trajectory = check_problem(wide.shape, np.asarray(Q), alpha, trajectory_dims)
    forms = np.asarray(Q, dtype=np.float64).reshape(-1, *np.shape(Q)[-2:])
    shape = (wide.shape[0], wide.shape[1], len(trajectory))
    low, high = step_limits(lower, upper, shape, last is not None)
    options: dict[str, Any] = {"alpha": float(alpha), "trajectory": trajectory, "previous": last}
    if solver in ("auto", "boxqp"):
        from dto_envs.filters import boxqp

        result = boxqp.solve(forms, wide, low, high, **options).actions
    else:
        from dto_envs.filters import reference

        result = getattr(reference, f"solve_{solver}")(forms, wide, low, high, **options)
    return round_within(result, chunk.dtype, low, high, trajectory, last)


def check_problem(
    shape: tuple[int, ...], q: np.ndarray, alpha: float, trajectory_dims: Sequence[int]
) -> tuple[int, ...]:
    """Raise ValueError unless Q, alpha and dimensions fit actions of ``shape``; returns the dimensions, all >= 0."""
    batch, horizon, dims = shape
    size = horizon * dims
    if q.shape not in ((size, size), (batch, size, size), (1, size, size)):
        raise ValueError(f"Q has the shape ({batch}, {size}, {size}) or ({size}, {size}); got {q.shape}")
    if not np.isfinite(q).all():
        raise ValueError("Q has entries that are NaN or infinite")
    if not (np.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha is a number >= 0; got {alpha}")
    trajectory = tuple(int(d) + dims if d < 0 else int(d) for d in trajectory_dims)
    if len(set(trajectory)) != len(trajectory) or not all(0 <= d < dims for d in trajectory):
        raise ValueError(f"trajectory_dims {tuple(trajectory_dims)} are not distinct dimensions of {dims}")
    return trajectory
