"""Trajectory optimisation under any linear limits, by ProxQP, with the answer polished and checked.

Minimise ``1/2 y'Hy - a'y`` subject to ``lower <= C y <= upper``, where H is Q with the smoothing term in it. ProxQP's
answer names the active limits; solving with exactly those brings it to machine precision. Where ProxQP gives up,
:mod:`.active_set` finds the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dto_envs.filters import active_set
from dto_envs.filters.base import InfeasibleLimitsError
from dto_envs.filters.rows import LimitRows

TOLERANCE = 1e-6  # by how much a limit may be broken, at most
UNBOUNDED = 1e20


def smoothed(q: np.ndarray, alpha: float, trajectory: Sequence[int], horizon: int) -> np.ndarray:
    """sym(Q) + alpha S'D'DS for Q of shape (..., n, n)."""
    dims = q.shape[-1] // horizon
    steps = np.diff(np.eye(horizon), axis=0)
    select = np.zeros((dims, dims))
    select[list(trajectory), list(trajectory)] = 1.0
    return 0.5 * (q + np.swapaxes(q, -1, -2)) + alpha * np.kron(steps.T @ steps, select)


def solve(hessian: np.ndarray, linear: np.ndarray, rows: LimitRows) -> tuple[np.ndarray, np.ndarray]:
    """Solve a batch, one sample after another.

    Args:
        hessian: (B or 1, n, n), positive definite.
        linear: (B, n), the ``a`` of the objective.
        rows: the limits; ``lower`` and ``upper`` of one sample or of every one.

    Returns:
        The optimum (B, n), and the active limits (B, m) int8: -1 lower, 1 upper, 0 neither.

    Raises:
        InfeasibleLimitsError: no trajectory satisfies all limits; names the one that gives way least willingly.
        ValueError: the quadratic form is not positive definite, or the solver failed on it.
    """
    batch = linear.shape[0]
    answers = np.empty_like(linear)
    active = np.zeros((batch, rows.matrix.shape[0]), dtype=np.int8)
    for b in range(batch):
        h = hessian[b if hessian.shape[0] > 1 else 0]
        low, high = (side[b if side.shape[0] > 1 else 0] for side in (rows.lower, rows.upper))
        number = b if rows.samples is None else int(rows.samples[b])
        guess, duals = proxqp(h, linear[b], rows.matrix, low, high)
        if guess is None:
            raise_infeasible(rows, low, high, number)
            guess, duals = active_set.solve(h, linear[b], rows.matrix, low, high)
        if guess is None:
            raise ValueError(f"sample {number} could not be solved; is Q positive definite and well-conditioned?")
        answers[b], active[b] = polish(h, linear[b], rows.matrix, low, high, guess, duals)
        values = rows.matrix @ answers[b]
        excess = np.maximum(values - high, low - values).max(initial=0.0)
        if excess > 0.5 * TOLERANCE:
            raise_infeasible(rows, low, high, number)
            raise ValueError(f"sample {number} could not be solved within its limits: {excess:.1e} outside")
    return answers, active


def proxqp(
    h: np.ndarray, a: np.ndarray, c: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """ProxQP's optimum and duals of one problem, positive at upper limits; None where it found none."""
    import proxsuite

    problem = proxsuite.proxqp.dense.QP(h.shape[0], 0, c.shape[0])
    problem.settings.max_iter, problem.settings.max_iter_in = 200, 100
    problem.settings.eps_abs, problem.settings.eps_rel = 1e-10, 1e-13
    bounds = np.maximum(low, -UNBOUNDED), np.minimum(high, UNBOUNDED)
    problem.init(h, -a, None, None, c, *bounds)
    problem.solve()
    if problem.results.info.status != proxsuite.proxqp.PROXQP_SOLVED:
        return None, np.zeros(c.shape[0])
    return np.array(problem.results.x), np.array(problem.results.z)


def polish(
    h: np.ndarray, a: np.ndarray, c: np.ndarray, low: np.ndarray, high: np.ndarray, guess: np.ndarray, duals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve once more with the limits that are active in ``guess`` as equations; keep the better of the two.

    Returns:
        The optimum (n,) and the active limits (m,) int8.
    """
    values = c @ guess
    threshold = 1e-9 * max(1.0, np.abs(duals).max(initial=0.0))
    active = np.where((duals > threshold) & (high - values < 1e-6), 1, 0)
    active = np.where((duals < -threshold) & (values - low < 1e-6), -1, active).astype(np.int8)
    chosen = active != 0
    target = np.where(active > 0, high, low)[chosen]
    factor = np.linalg.cholesky(h)
    inverse_c = np.linalg.solve(factor, c[chosen].T)
    inverse_a = np.linalg.solve(factor, a)
    schur = inverse_c.T @ inverse_c
    schur[np.diag_indices_from(schur)] += 1e-13 * max(np.trace(schur) / max(len(schur), 1), 1e-300)
    multiplier = np.zeros(int(chosen.sum()))
    polished = guess
    for _ in range(4):
        polished = np.linalg.solve(factor.T, inverse_a - inverse_c @ multiplier)
        if len(schur) == 0:
            break
        multiplier = multiplier + np.linalg.solve(schur, c[chosen] @ polished - target)
    before, after = (np.maximum(c @ y - high, low - c @ y).max(initial=0.0) for y in (guess, polished))
    good = after <= max(before, 1e-12) and np.abs(polished - guess).max() < 1e-4 * max(1.0, np.abs(guess).max())
    return (polished if good else guess), active


def raise_infeasible(rows: LimitRows, low: np.ndarray, high: np.ndarray, sample: int) -> None:
    """Raise :class:`InfeasibleLimitsError` if no point satisfies the limits, naming the one that costs most."""
    from scipy.optimize import linprog

    size = rows.matrix.shape[1]
    finite_high, finite_low = np.isfinite(high), np.isfinite(low)
    matrix = np.concatenate([rows.matrix[finite_high], -rows.matrix[finite_low]])
    right = np.concatenate([high[finite_high], -low[finite_low]])
    relaxed = np.concatenate([matrix, -np.ones((len(matrix), 1))], axis=1)
    cost = np.append(np.zeros(size), 1.0)
    result = linprog(cost, A_ub=relaxed, b_ub=right, bounds=[(None, None)] * size + [(0, None)], method="highs")
    if result.status != 0 or result.fun <= 1e-9:
        return
    owners = np.concatenate([np.flatnonzero(finite_high), np.flatnonzero(finite_low)])
    worst = owners[np.argmin(result.ineqlin.marginals)]
    raise InfeasibleLimitsError(f"no trajectory satisfies all limits of sample {sample}: {rows.names[worst]}")
