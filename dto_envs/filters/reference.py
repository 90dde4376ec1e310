"""Other solvers for the same box problem, to choose by name or to check the box QP against; and its residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dto_envs.filters import general
from dto_envs.filters.rows import difference_rows

RESIDUAL_LIMIT = 1e-6


def solve_proxqp(
    q: np.ndarray,
    linear: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
) -> np.ndarray:
    """Solve by ProxQP; arguments as :func:`dto_envs.filters.boxqp.solve`, returns (B, T, D)."""
    hessian = general.smoothed(q, alpha, trajectory, linear.shape[1])
    rows = difference_rows(lower, upper, linear.shape[2], trajectory, previous)
    answers, _ = general.solve(hessian, linear.reshape(linear.shape[0], -1), rows)
    return answers.reshape(linear.shape)


def solve_qpth(
    q: np.ndarray,
    linear: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
) -> np.ndarray:
    """Solve by qpth, one sample at a time; arguments as :func:`dto_envs.filters.boxqp.solve`, returns (B, T, D).

    Raises:
        ValueError: the answer fails its optimality conditions, as qpth's own answers sometimes do without a word.
    """
    import torch

    from dto_envs.filters.reference_torch import solve_qpth_torch

    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in (q, linear, lower, upper))
    last = None if previous is None else torch.from_numpy(np.ascontiguousarray(previous))
    with torch.no_grad():
        return solve_qpth_torch(*tensors, alpha=alpha, trajectory=trajectory, previous=last).numpy()


def kkt_residual(
    q: np.ndarray,
    linear: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    actions: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
) -> np.ndarray:
    """How far actions (B, T, D) are from satisfying the optimality conditions, relative to the problem's scale, (B,).

    In the first step and the differences ``z`` as unknowns, a point is optimal if and only if a small step against the
    gradient, clipped to the limits, leads nowhere. The residual is the largest such move times the curvature, over the
    largest sum of magnitudes that cancel in an entry of the gradient. Other arguments as
    :func:`dto_envs.filters.boxqp.solve`.
    """
    batch, horizon, dims = actions.shape
    size = horizon * dims
    chosen = list(trajectory)
    inside = np.ones(dims, dtype=bool)
    inside[chosen] = False
    summing = np.tril(np.ones((horizon, horizon)))
    m = np.kron(summing, np.diag(~inside).astype(float)) + np.kron(np.eye(horizon), np.diag(inside).astype(float))
    low, high = np.full((batch, horizon, dims), -np.inf), np.full((batch, horizon, dims), np.inf)
    low[:, :, chosen], high[:, :, chosen] = lower, upper
    z = actions.copy()
    z[:, 1:, chosen] -= actions[:, :-1, chosen]
    if previous is not None:
        z[:, 0, chosen] -= previous[:, chosen]
    hessian = np.broadcast_to(general.smoothed(q, alpha, trajectory, horizon), (batch, size, size))
    flat = actions.reshape(batch, size)
    gradient = (np.einsum("bij,bj->bi", hessian, flat) - linear.reshape(batch, size)) @ m
    scale = ((np.einsum("bij,bj->bi", np.abs(hessian), np.abs(flat)) + np.abs(linear.reshape(batch, size))) @ m).max(1)
    curvature = np.einsum("ki,bkl,li->bi", m, hessian, m)
    z, low, high = (array.reshape(batch, size) for array in (z, low, high))
    move = z - np.clip(z - gradient / curvature, low, high)
    return np.abs(move * curvature).max(1) / np.maximum(scale, np.finfo(float).tiny)
