"""The box QP of a batch that shares one Q, by its active limits alone: what training LeTO's layer takes most.

With one H for the batch, H^-1 is worth having: the optimum under the equations ``z_A = limit_A`` is ``z0 - G_A' m``
with ``G = H^-1``, the unconstrained optimum ``z0`` and ``G_AA m = z0_A - limit_A``. That is a system of as many
unknowns as there are active limits, a few, where :mod:`.boxqp_kernel` factorises what is left of H without them, most
of it. The active limits are found by the same primal-dual iteration. It ends after a few steps or cycles; samples in
which it cycles are left to the other solver, and so is a batch whose H is ill-conditioned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from dto_envs.filters import boxqp
from dto_envs.filters import boxqp_kernel as kernel

ITERATIONS = 12
ACCEPTED_EXCESS = 1e-9  # beyond a limit, of a coordinate that is held by none
LARGEST_CONDITION = 1e8  # of H; beyond it the inverse loses what the answer needs

_jit = numba.njit(cache=True, nogil=True, fastmath={"contract"})


def inverse_of(hessian: np.ndarray) -> np.ndarray | None:
    """H^-1 (n, n), or None where H is not positive definite or too ill-conditioned for :func:`solve_boxes`."""
    try:
        half = np.linalg.inv(np.linalg.cholesky(hessian))
    except np.linalg.LinAlgError:
        return None
    inverse = half.T @ half
    condition = np.linalg.norm(hessian, 1) * np.linalg.norm(inverse, 1)
    return inverse if condition <= LARGEST_CONDITION else None


def solve(
    q: np.ndarray,
    linear: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> tuple[boxqp.BoxSolution, np.ndarray | None]:
    """Solve a batch of trajectory problems; arguments and errors as :func:`dto_envs.filters.boxqp.solve`.

    ``q``, ``lower`` and ``upper`` are shared: their first size is 1.

    Returns:
        The solution, and H^-1 for :func:`backward`; None where the whole batch was left to :mod:`.boxqp`.
    """
    batch, horizon, dims = linear.shape
    options: dict[str, Any] = {"alpha": alpha, "trajectory": trajectory}
    mask = boxqp.trajectory_mask(dims, trajectory)
    hessian = np.empty(q.shape[1:])
    kernel.build_hessian(np.require(q[0], np.float64, ["C", "W"]), float(alpha), mask, horizon, hessian)
    low, high = (boxqp.expand_limits(b, dims, trajectory, f)[0] for b, f in ((lower, -np.inf), (upper, np.inf)))
    inverse = inverse_of(hessian) if (low < high).all() else None
    if inverse is None:
        return boxqp.solve(q, linear, lower, upper, previous=previous, start=start, **options), None
    slope, offset = -linear, np.zeros((batch, 1, dims))
    if previous is not None:
        offset[:, 0] = previous * mask
        slope = slope + (np.repeat(offset, horizon, axis=1).reshape(batch, -1) @ (0.5 * (q[0] + q[0].T))).reshape(
            slope.shape
        )
    z, active, solved = solve_boxes(inverse, _sum_backward(slope, mask).reshape(batch, -1), low, high)
    active = active.reshape(linear.shape)
    actions = _sum_forward(z.reshape(linear.shape), mask) + offset
    left = np.flatnonzero(~solved)
    if left.size:
        last, near = (None if array is None else array[left] for array in (previous, start))
        rest = boxqp.solve(q, linear[left], lower, upper, previous=last, start=near, **options)
        actions[left], active[left] = rest.actions, rest.active
    return boxqp.BoxSolution(actions, active), inverse


def backward(
    inverse: np.ndarray, active: np.ndarray, cotangent: np.ndarray, trajectory: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients at a solution, as :func:`dto_envs.filters.boxqp.backward`, from H^-1 (n, n)."""
    batch, _, dims = cotangent.shape
    mask = boxqp.trajectory_mask(dims, trajectory)
    right = _sum_backward(np.asarray(cotangent, dtype=np.float64), mask).reshape(batch, -1)
    step, held = right @ inverse, np.zeros_like(right)
    _hold_all(inverse, np.ascontiguousarray(active, dtype=np.int8).reshape(batch, -1), step, held)
    return _sum_forward(step.reshape(cotangent.shape), mask), held.reshape(cotangent.shape)


def solve_boxes(
    inverse: np.ndarray, linear: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise ``1/2 z'Hz + g'z`` over one box.

    Args:
        inverse: (n, n) float64, H^-1.
        linear: (B, n) g.
        lower: (n,), may be infinite, less than ``upper`` everywhere.
        upper: likewise.

    Returns:
        z (B, n); the active limits (B, n) int8, -1 lower, 1 upper, 0 neither; (B,) bool, whether a sample is solved.
    """
    z = -(linear @ inverse)
    active = np.zeros(z.shape, dtype=np.int8)
    solved = np.zeros(len(z), dtype=np.bool_)
    _solve_all(inverse, lower, upper, z, active, solved)
    return z, active, solved


@_jit
def _sum_forward(steps, mask):  # pragma: no cover - compiled
    """Steps (B, T, D) summed over time where the mask (D,) is positive; in one pass, as numpy's take most of a call."""
    sums = np.empty(steps.shape)
    for b in range(steps.shape[0]):
        for t in range(steps.shape[1]):
            for d in range(steps.shape[2]):
                before = sums[b, t - 1, d] if t > 0 and mask[d] > 0.0 else 0.0
                sums[b, t, d] = before + steps[b, t, d]
    return sums


@_jit
def _sum_backward(values, mask):  # pragma: no cover - compiled
    """The adjoint of :func:`_sum_forward`: sums from the last time to the first."""
    sums = np.empty(values.shape)
    last = values.shape[1] - 1
    for b in range(values.shape[0]):
        for t in range(last, -1, -1):
            for d in range(values.shape[2]):
                after = sums[b, t + 1, d] if t < last and mask[d] > 0.0 else 0.0
                sums[b, t, d] = after + values[b, t, d]
    return sums


@_jit
def _solve_all(inverse, lower, upper, z, active, solved):  # pragma: no cover - compiled
    size = z.shape[1]
    chosen, block, multiplier = np.empty(size, dtype=np.int64), np.empty((size, size)), np.empty(size)
    free_z = np.empty(size)
    for b in range(z.shape[0]):
        free_z[:] = z[b]
        side = active[b]
        for _ in range(ITERATIONS):
            count = 0
            for i in range(size):
                if side[i] != 0:
                    chosen[count] = i
                    multiplier[count] = free_z[i] - (lower[i] if side[i] < 0 else upper[i])
                    count += 1
            if not _multipliers(inverse, chosen, count, block, multiplier):
                break
            for i in range(size):
                z[b, i] = free_z[i]
            _subtract(inverse, chosen, count, multiplier, z[b])
            changed = False
            for k in range(count):
                # A multiplier of the other sign than its limit's holds what would rather move inwards.
                if multiplier[k] * side[chosen[k]] < 0.0:
                    side[chosen[k]] = 0
                    changed = True
                else:
                    z[b, chosen[k]] = lower[chosen[k]] if side[chosen[k]] < 0 else upper[chosen[k]]
                multiplier[k] = 0.0
            held = 0
            for i in range(size):
                if held < count and chosen[held] == i:
                    held += 1
                elif z[b, i] < lower[i] - ACCEPTED_EXCESS:
                    side[i] = -1
                    changed = True
                elif z[b, i] > upper[i] + ACCEPTED_EXCESS:
                    side[i] = 1
                    changed = True
            if not changed:
                solved[b] = True
                break
        for i in range(size):
            z[b, i] = min(max(z[b, i], lower[i]), upper[i])


@_jit
def _hold_all(inverse, active, step, held):  # pragma: no cover - compiled
    size = step.shape[1]
    chosen, block, multiplier = np.empty(size, dtype=np.int64), np.empty((size, size)), np.empty(size)
    for b in range(step.shape[0]):
        count = 0
        for i in range(size):
            if active[b, i] != 0:
                chosen[count] = i
                multiplier[count] = step[b, i]
                count += 1
        _multipliers(inverse, chosen, count, block, multiplier)
        _subtract(inverse, chosen, count, multiplier, step[b])
        for k in range(count):
            held[b, chosen[k]] = multiplier[k]
            step[b, chosen[k]] = 0.0


@_jit
def _subtract(inverse, chosen, count, multiplier, vector):  # pragma: no cover - compiled
    """Take the multipliers' columns of the inverse from ``vector``."""
    for k in range(count):
        row, factor = inverse[chosen[k]], multiplier[k]
        for i in range(vector.shape[0]):
            vector[i] -= factor * row[i]


@_jit
def _multipliers(inverse, chosen, count, block, right):  # pragma: no cover - compiled
    """Overwrite ``right`` with G_AA^-1 times it; False where G_AA is not positive definite."""
    for a in range(count):
        row = inverse[chosen[a]]
        for b in range(a + 1):
            total = row[chosen[b]]
            for j in range(b):
                total -= block[a, j] * block[b, j]
            if a == b:
                if not total > 0.0:
                    return False
                block[a, a] = math.sqrt(total)
            else:
                block[a, b] = total / block[b, b]
    for a in range(count):
        total = right[a]
        for j in range(a):
            total -= block[a, j] * right[j]
        right[a] = total / block[a, a]
    for a in range(count - 1, -1, -1):
        total = right[a]
        for j in range(a + 1, count):
            total -= block[j, a] * right[j]
        right[a] = total / block[a, a]
    return True
