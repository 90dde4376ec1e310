"""The compiled box QP: projected Newton, one sample after another; imported when a problem is first solved.

Unknowns are ``z``: for trajectory dimensions the first step (from the previous action, where there is one) and the
differences from step to step; for the others the actions themselves. Then ``y = M z + offset`` with ``M`` a cumulative
sum over time, and every limit is a box on ``z``. Variable ``i = t * D + d`` is dimension ``d`` at step ``t``.

All loops live in one file because numba's cache notices changes only in the file of the function that it compiled.
"""

from __future__ import annotations

import math

import numba
import numpy as np

CONVERGED, NOT_CONVEX, NOT_CONVERGED = 0, 1, 2
ACTIVE_SET_ITERATIONS = 12  # most problems are done after 4 to 8; some would cycle
NEWTON_ITERATIONS = 30  # projected Newton is done after 5 to 20 unless Q is ill-conditioned
INTERIOR_ITERATIONS = 80
ACCEPTED_RESIDUAL = 1e-9  # of the problem's scale, where rounding stops the descent
TARGET_RESIDUAL = 1e-14

_jit = numba.njit(cache=True, nogil=True, fastmath={"contract"})
_jit_sums = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})  # lets long sums use vector units


@_jit
def factorize(matrix, size):  # pragma: no cover - compiled
    """Overwrite the upper triangle of a symmetric matrix with its Cholesky factor U, U'U = A; False if not convex.

    Four rows of U are finished at a time, then taken from the rows below in one sweep.
    """
    for k in range(0, size, 4):
        end = min(k + 4, size)
        for p in range(k, end):
            for q in range(k, p):
                factor = matrix[q, p]
                for j in range(p, size):
                    matrix[p, j] -= factor * matrix[q, j]
            pivot = matrix[p, p]
            if not pivot > 0.0:
                return False
            scale = 1.0 / math.sqrt(pivot)
            for j in range(p, size):
                matrix[p, j] *= scale
        if end - k < 4:
            break
        for i in range(end, size):
            f0, f1, f2, f3 = matrix[k, i], matrix[k + 1, i], matrix[k + 2, i], matrix[k + 3, i]
            row = matrix[i]
            r0, r1, r2, r3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
            for j in range(i, size):
                row[j] -= f0 * r0[j] + f1 * r1[j] + f2 * r2[j] + f3 * r3[j]
    return True


@_jit_sums
def solve_factorized(factor, size, vector):  # pragma: no cover - compiled
    """Overwrite ``vector`` with the solution of U'U x = vector."""
    for k in range(size):
        vector[k] /= factor[k, k]
        value = vector[k]
        for j in range(k + 1, size):
            vector[j] -= factor[k, j] * value
    for k in range(size - 1, -1, -1):
        total = vector[k]
        for j in range(k + 1, size):
            total -= factor[k, j] * vector[j]
        vector[k] = total / factor[k, k]


@_jit
def build_hessian(q, alpha, mask, horizon, hessian):  # pragma: no cover - compiled
    """Write M'(sym(Q) + alpha S'D'DS)M; ``mask`` (D,) is 1.0 for trajectory dimensions. The smoothing is diagonal."""
    dims = mask.shape[0]
    size = horizon * dims
    for i in range(size):
        for j in range(i, size):
            value = 0.5 * (q[i, j] + q[j, i])
            hessian[i, j] = value
            hessian[j, i] = value
    for i in range(size - dims - 1, -1, -1):
        weight = mask[i % dims]
        if weight > 0.0:
            for j in range(size):
                hessian[i, j] += hessian[i + dims, j]
    for i in range(size):
        row = hessian[i]
        for t in range(horizon - 2, -1, -1):
            for d in range(dims):
                row[t * dims + d] += mask[d] * row[(t + 1) * dims + d]
    for i in range(dims, size):
        hessian[i, i] += alpha * mask[i % dims]


@_jit
def sum_back(vector, mask, horizon):  # pragma: no cover - compiled
    """Overwrite a vector with M' times it."""
    dims = mask.shape[0]
    for i in range(horizon * dims - dims - 1, -1, -1):
        vector[i] += mask[i % dims] * vector[i + dims]


@_jit
def sum_forward(vector, mask, horizon):  # pragma: no cover - compiled
    """Overwrite a vector with M times it."""
    dims = mask.shape[0]
    for i in range(dims, horizon * dims):
        vector[i] += mask[i % dims] * vector[i - dims]


@_jit
def gradient_and_scale(hessian, linear, z, gradient):  # pragma: no cover - compiled
    """Write H z + g and return the largest sum of magnitudes that cancelled in one of its entries."""
    size = z.shape[0]
    scale = 0.0
    magnitude = np.empty(size)
    for i in range(size):
        gradient[i] = linear[i]
        magnitude[i] = abs(linear[i])
    for j in range(size):
        value = z[j]
        if value != 0.0:
            row = hessian[j]
            for i in range(size):
                term = row[i] * value
                gradient[i] += term
                magnitude[i] += abs(term)
    for i in range(size):
        scale = max(scale, magnitude[i])
    return scale


@_jit
def free_set(z, gradient, lower, upper, free):  # pragma: no cover - compiled
    """Collect the coordinates that may move; return their number and their largest gradient."""
    count, residual = 0, 0.0
    for i in range(z.shape[0]):
        at_lower = z[i] <= lower[i] and (gradient[i] > 0.0 or lower[i] == upper[i])
        at_upper = z[i] >= upper[i] and (gradient[i] < 0.0 or lower[i] == upper[i])
        if not (at_lower or at_upper):
            free[count] = i
            count += 1
            residual = max(residual, abs(gradient[i]))
    return count, residual


@_jit
def free_block(hessian, free, count, block):  # pragma: no cover - compiled
    """Write the upper triangle of the free rows and columns of ``hessian``."""
    for a in range(count):
        row = hessian[free[a]]
        for b in range(a, count):
            block[a, b] = row[free[b]]


@_jit
def active_set(hessian, linear, lower, upper, z, work, block, free):  # pragma: no cover - compiled
    """Move a feasible ``z`` to the minimum by a primal-dual active set (Hintermueller, Ito, Kunisch 2002), or near it.

    Solve with the coordinates at active limits held, then hold what left the box and free what is pulled inwards,
    until nothing changes. That takes few steps but may cycle, so that the last word is :func:`newton`'s.
    """
    size = z.shape[0]
    gradient, right, side = work[0, :size], work[1, :size], work[2, :size]
    gradient_and_scale(hessian, linear, z, gradient)
    for i in range(size):
        held_low = z[i] <= lower[i] and (gradient[i] > 0.0 or lower[i] == upper[i])
        held_high = z[i] >= upper[i] and gradient[i] < 0.0
        side[i] = -1.0 if held_low else (1.0 if held_high else 0.0)
    for _ in range(ACTIVE_SET_ITERATIONS):
        count = 0
        for i in range(size):
            if side[i] == 0.0:
                free[count] = i
                right[count] = -gradient[i]
                count += 1
        free_block(hessian, free, count, block)
        if not factorize(block, count):
            break
        solve_factorized(block, count, right)
        for a in range(count):
            z[free[a]] += right[a]
            row = hessian[free[a]]
            for i in range(size):
                gradient[i] += row[i] * right[a]
        changed = False
        for i in range(size):
            now = side[i]
            if now == 0.0:
                now = -1.0 if z[i] < lower[i] else (1.0 if z[i] > upper[i] else 0.0)
            elif now * gradient[i] > 0.0 and lower[i] < upper[i]:
                now = 0.0
            if now == side[i]:
                continue
            changed = True
            side[i] = now
            if now != 0.0:
                move = (lower[i] if now < 0.0 else upper[i]) - z[i]
                z[i] += move
                row = hessian[i]
                for j in range(size):
                    gradient[j] += row[j] * move
        if not changed:
            break
    for i in range(size):
        limit = lower[i] if side[i] < 0.0 else upper[i]
        z[i] = limit if side[i] != 0.0 else min(max(z[i], lower[i]), upper[i])


@_jit_sums
def line_search(hessian, gradient, z, direction, lower, upper, trial, move):  # pragma: no cover - compiled
    """Halve the step along the projected direction until it descends enough; False where rounding forbids it."""
    size = z.shape[0]
    step = 1.0
    for _ in range(40):
        slope, curvature = 0.0, 0.0
        for i in range(size):
            trial[i] = min(max(z[i] + step * direction[i], lower[i]), upper[i])
            move[i] = trial[i] - z[i]
            slope += gradient[i] * move[i]
        for j in range(size):
            if move[j] != 0.0:
                row = hessian[j]
                total = 0.0
                for i in range(size):
                    total += row[i] * move[i]
                curvature += total * move[j]
        if slope < 0.0 and slope + 0.5 * curvature <= 0.05 * slope:
            return True
        step *= 0.5
    return False


@_jit
def newton(hessian, linear, lower, upper, z, work, block, free):  # pragma: no cover - compiled
    """Minimise 1/2 z'Hz + g'z over a box by projected Newton steps (Bertsekas 1982), from a feasible ``z``, in place.

    Returns:
        a status, and the free coordinates' largest gradient over the problem's scale.
    """
    size = z.shape[0]
    gradient, direction, trial, move = work[0, :size], work[1, :size], work[2, :size], work[3, :size]
    relative, best = np.inf, np.inf
    stalled = 0
    for _ in range(NEWTON_ITERATIONS):
        scale = gradient_and_scale(hessian, linear, z, gradient)
        count, residual = free_set(z, gradient, lower, upper, free)
        relative = residual / scale if scale > 0.0 else 0.0
        stalled = stalled + 1 if relative > 0.5 * best else 0
        best = min(best, relative)
        if relative <= TARGET_RESIDUAL or (stalled > 1 and relative <= ACCEPTED_RESIDUAL):
            return CONVERGED, relative
        free_block(hessian, free, count, block)
        if not factorize(block, count):
            return NOT_CONVEX, relative
        for a in range(count):
            move[a] = -gradient[free[a]]
        solve_factorized(block, count, move)
        for i in range(size):
            direction[i] = 0.0
        for a in range(count):
            direction[free[a]] = move[a]
        if not line_search(hessian, gradient, z, direction, lower, upper, trial, move):
            break
        for i in range(size):
            z[i] = trial[i]
    return (CONVERGED if relative <= ACCEPTED_RESIDUAL else NOT_CONVERGED), relative


@_jit
def interior_start(hessian, linear, lower, upper, z, slack, dual):  # pragma: no cover - compiled
    """Move ``z`` strictly inside the box; write slacks (2, n) to its sides, and duals that are 0 at no limit."""
    gradient = np.empty(z.shape[0])
    for i in range(z.shape[0]):
        inset = min(0.1 * (upper[i] - lower[i]), 1.0)
        z[i] = min(max(z[i], lower[i] + inset), upper[i] - inset)
        slack[0, i], slack[1, i] = z[i] - lower[i], upper[i] - z[i]
    gradient_and_scale(hessian, linear, z, gradient)
    largest = 0.0
    for i in range(z.shape[0]):
        largest = max(largest, abs(gradient[i]))
    for i in range(z.shape[0]):
        for side in range(2):
            limited = slack[side, i] < np.inf and lower[i] < upper[i]
            dual[side, i] = 0.1 * largest + 1e-300 if limited else 0.0


@_jit
def barrier_block(hessian, fixed, slack, dual, block):  # pragma: no cover - compiled
    """Write the upper triangle of H + diag(dual / slack), with the identity on fixed coordinates."""
    size = fixed.shape[0]
    for i in range(size):
        for j in range(i, size):
            block[i, j] = 0.0 if fixed[i] or fixed[j] else hessian[i, j]
        if fixed[i]:
            block[i, i] = 1.0
            continue
        for side in range(2):
            if dual[side, i] > 0.0:
                block[i, i] += dual[side, i] / slack[side, i]


@_jit
def interior_step(block, gradient, fixed, slack, dual, center, step, change):  # pragma: no cover - compiled
    """One Newton step towards slack * dual = ``center``, corrected by the step that ``step`` and ``change`` hold.

    Overwrites ``step`` (n,) of z and ``change`` (2, n) of the duals; returns the longest length in (0, 1] that keeps
    slacks and duals positive.
    """
    size = fixed.shape[0]
    goal = np.empty((2, size))
    for i in range(size):
        for side in range(2):
            sign = 1.0 - 2.0 * side
            goal[side, i] = (center - sign * step[i] * change[side, i]) / slack[side, i] if dual[side, i] > 0.0 else 0.0
        step[i] = 0.0 if fixed[i] else goal[0, i] - goal[1, i] - gradient[i]
    solve_factorized(block, size, step)
    length = 1.0
    for i in range(size):
        for side in range(2):
            if dual[side, i] > 0.0:
                move = step[i] * (1.0 - 2.0 * side)
                change[side, i] = goal[side, i] - dual[side, i] * (1.0 + move / slack[side, i])
                if move < 0.0:
                    length = min(length, -slack[side, i] / move)
                if change[side, i] < 0.0:
                    length = min(length, -dual[side, i] / change[side, i])
    return length


@_jit
def complementarity(slack, dual, step, change, length):  # pragma: no cover - compiled
    """The mean of slack * dual over the limits that exist, after a step of ``length``."""
    total, pairs = 0.0, 0
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for i in range(step.shape[0]):
            if dual[side, i] > 0.0:
                moved = slack[side, i] + length * sign * step[i]
                total += moved * (dual[side, i] + length * change[side, i])
                pairs += 1
    return total / max(pairs, 1)


@_jit
def interior(hessian, linear, lower, upper, z, block):  # pragma: no cover - compiled
    """Move ``z`` close to the minimum over the box, and onto the limits that are active there.

    A primal-dual interior-point method (Mehrotra's predictor and corrector): the way out for ill-conditioned problems,
    where projected Newton creeps along. What it leaves to a final :func:`newton` is rounding.
    """
    size = z.shape[0]
    slack, dual, change = np.empty((2, size)), np.empty((2, size)), np.zeros((2, size))
    gradient, step, fixed = np.empty(size), np.zeros(size), np.empty(size, dtype=np.bool_)
    for i in range(size):
        fixed[i] = lower[i] == upper[i]
    interior_start(hessian, linear, lower, upper, z, slack, dual)
    target = 1e-24 * complementarity(slack, dual, step, change, 0.0)
    for _ in range(INTERIOR_ITERATIONS):
        gradient_and_scale(hessian, linear, z, gradient)
        for i in range(size):
            step[i], change[0, i], change[1, i] = 0.0, 0.0, 0.0
        gap = complementarity(slack, dual, step, change, 0.0)
        if gap <= target:
            break
        barrier_block(hessian, fixed, slack, dual, block)
        if not factorize(block, size):
            break
        length = interior_step(block, gradient, fixed, slack, dual, 0.0, step, change)
        ratio = complementarity(slack, dual, step, change, length) / gap
        length = interior_step(block, gradient, fixed, slack, dual, ratio**3 * gap, step, change)
        length = min(1.0, 0.995 * length)
        for i in range(size):
            z[i] += length * step[i]
            for side in range(2):
                slack[side, i] += length * step[i] * (1.0 - 2.0 * side)
                dual[side, i] += length * change[side, i] if dual[side, i] > 0.0 else 0.0
    for i in range(size):
        z[i] = min(max(z[i], lower[i]), upper[i])
        if dual[0, i] > hessian[i, i] * slack[0, i] and dual[0, i] > dual[1, i]:
            z[i] = lower[i]
        elif dual[1, i] > hessian[i, i] * slack[1, i]:
            z[i] = upper[i]


@_jit
def solve_range(
    begin, end, q, linear, lower, upper, previous, linked, alpha, mask, horizon, start, y, z, status
):  # pragma: no cover - compiled
    """Solve samples ``begin`` to ``end``; arrays with a leading 1 are shared by the batch.

    Args:
        begin: first sample.
        end: one past the last sample.
        q: (B or 1, n, n).
        linear: (B, n); the objective has ``-linear'y``.
        lower: (B or 1, n) on z, infinite for dimensions outside the trajectory.
        upper: likewise.
        previous: (B, D), read where ``linked``.
        linked: whether step 0 is bound to ``previous``.
        alpha: smoothing weight.
        mask: (D,) 1.0 for trajectory dimensions, else 0.0.
        horizon: T.
        start: (B, n) actions from which the search begins, clipped greedily into the limits.
        y: (B, n) receives the actions.
        z: (B, n) receives the unknowns; equal to a limit where that limit is active.
        status: (B,) receives the statuses.
    """
    dims = mask.shape[0]
    size = horizon * dims
    hessian, block = np.empty((size, size)), np.empty((size, size))
    work, free = np.empty((4, size)), np.empty(size, dtype=np.int64)
    slope, offset = np.empty(size), np.zeros(size)
    last_q = -1
    for b in range(begin, end):
        q_index = b if q.shape[0] > 1 else 0
        low, high = lower[b if lower.shape[0] > 1 else 0], upper[b if upper.shape[0] > 1 else 0]
        if q_index != last_q:
            build_hessian(q[q_index], alpha, mask, horizon, hessian)
            last_q = q_index
        for i in range(size):
            offset[i] = previous[b, i % dims] * mask[i % dims] if linked else 0.0
        for i in range(size):
            slope[i] = -linear[b, i]
        sum_back(slope, mask, horizon)
        # M'Q offset: the offset is M times the previous action at step 0, and those columns hold no smoothing.
        for d in range(dims):
            if offset[d] != 0.0:
                for i in range(size):
                    slope[i] += hessian[d, i] * offset[d]
        for i in range(size):
            before = 0.0
            if mask[i % dims] > 0.0:
                before = y[b, i - dims] if i >= dims else offset[i]
            z[b, i] = min(max(start[b, i] - before, low[i]), high[i])
            y[b, i] = before + z[b, i]
        active_set(hessian, slope, low, high, z[b], work, block, free)
        status[b], _ = newton(hessian, slope, low, high, z[b], work, block, free)
        if status[b] == NOT_CONVERGED:
            interior(hessian, slope, low, high, z[b], block)
            status[b], _ = newton(hessian, slope, low, high, z[b], work, block, free)
        for i in range(size):
            y[b, i] = z[b, i]
        sum_forward(y[b], mask, horizon)
        for i in range(size):
            y[b, i] += offset[i]


@_jit
def backward_range(
    begin, end, q, alpha, mask, horizon, active, cotangent, adjoint, bounds
):  # pragma: no cover - compiled
    """The implicit function theorem at a solution, for samples ``begin`` to ``end``.

    Args:
        begin: first sample.
        end: one past the last sample.
        q: (B or 1, n, n).
        alpha: smoothing weight.
        mask: (D,) 1.0 for trajectory dimensions, else 0.0.
        horizon: T.
        active: (B, n) nonzero where z is held by a limit.
        cotangent: (B, n) gradient of the loss by y.
        adjoint: (B, n) receives the gradient by the linear term.
        bounds: (B, n) receives the gradient by the limit that holds each active coordinate, 0 elsewhere.
    """
    dims = mask.shape[0]
    size = horizon * dims
    hessian, block = np.empty((size, size)), np.empty((size, size))
    free, right = np.empty(size, dtype=np.int64), np.empty(size)
    last_q = -1
    for b in range(begin, end):
        q_index = b if q.shape[0] > 1 else 0
        if q_index != last_q:
            build_hessian(q[q_index], alpha, mask, horizon, hessian)
            last_q = q_index
        count = 0
        for i in range(size):
            bounds[b, i] = cotangent[b, i]
            if active[b, i] == 0:
                free[count] = i
                count += 1
        sum_back(bounds[b], mask, horizon)
        free_block(hessian, free, count, block)
        factorize(block, count)
        for k in range(count):
            right[k] = bounds[b, free[k]]
        solve_factorized(block, count, right)
        for i in range(size):
            adjoint[b, i] = 0.0
        for k in range(count):
            adjoint[b, free[k]] = right[k]
            row = hessian[free[k]]
            for i in range(size):
                bounds[b, i] -= row[i] * right[k]
        for k in range(count):
            bounds[b, free[k]] = 0.0
        sum_forward(adjoint[b], mask, horizon)
