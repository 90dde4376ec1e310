"""The compiled force problem of one keyframe, for many pairs of contact points: a dual active-set method.

For two fingers with normal forces n and tangential forces t, and ground rays g: minimise the weighted sum of their
squares subject to the required wrench, friction cones, limits of the normal forces and g >= 0. With so few unknowns the
method of Goldfarb and Idnani (1983) is exact and tells an infeasible problem in finitely many steps.
"""

from __future__ import annotations

import math

import numba
import numpy as np

INFEASIBLE = math.inf
STEPS = 200  # an active set changes a handful of times; more means that rounding makes it cycle

_jit = numba.njit(cache=True, nogil=True)


@_jit
def _solve_gram(normals, count, right, factor, answer):  # pragma: no cover - compiled
    """Solve (N'N) answer = N'right for the first ``count`` rows of ``normals`` by Cholesky."""
    size = right.shape[0]
    for i in range(count):
        for j in range(i + 1):
            total = 0.0
            for k in range(size):
                total += normals[i, k] * normals[j, k]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(max(total, 1e-300)) if i == j else total / factor[j, j]
    for i in range(count):
        total = 0.0
        for k in range(size):
            total += normals[i, k] * right[k]
        for k in range(i):
            total -= factor[i, k] * answer[k]
        answer[i] = total / factor[i, i]
    for i in range(count - 1, -1, -1):
        total = answer[i]
        for k in range(i + 1, count):
            total -= factor[k, i] * answer[k]
        answer[i] = total / factor[i, i]


@_jit
def least_norm(equations, targets, rows, bounds, point):  # pragma: no cover - compiled
    """The point of least norm with ``equations @ y = targets`` and ``rows @ y >= bounds``, written to ``point``.

    Args:
        equations: (e, n), independent.
        targets: (e,).
        rows: (m, n), of unit length.
        bounds: (m,).
        point: (n,), overwritten.

    Returns:
        Its squared norm, or infinity where no point satisfies all.
    """
    fixed, size = equations.shape
    many = rows.shape[0]
    normals = np.zeros((size + 1, size))
    factor = np.zeros((size + 1, size + 1))
    coefficient = np.zeros(size + 1)
    direction = np.zeros(size)
    active = np.full(size + 1, -1, np.int64)
    dual = np.zeros(size + 1)
    normals[:fixed] = equations
    # Least-norm solution of the equations: y = N (N'N)^-1 targets, by a forward and a backward substitution.
    point[:] = 0.0
    _solve_gram(normals, fixed, point, factor, coefficient)
    for i in range(fixed):
        total = targets[i]
        for k in range(i):
            total -= factor[i, k] * coefficient[k]
        coefficient[i] = total / factor[i, i]
    for i in range(fixed - 1, -1, -1):
        total = coefficient[i]
        for k in range(i + 1, fixed):
            total -= factor[k, i] * coefficient[k]
        coefficient[i] = total / factor[i, i]
    for i in range(fixed):
        for k in range(size):
            point[k] += coefficient[i] * normals[i, k]
    count = fixed
    entering, entering_dual = -1, 0.0
    for _ in range(STEPS):
        if entering < 0:
            worst = -1e-10
            for m in range(many):
                slack = -bounds[m]
                for k in range(size):
                    slack += rows[m, k] * point[k]
                if slack < worst * (1.0 + abs(bounds[m])):
                    worst, entering = slack, m
            if entering < 0:
                total = 0.0
                for k in range(size):
                    total += point[k] * point[k]
                return total
            entering_dual = 0.0
        _solve_gram(normals, count, rows[entering], factor, coefficient)
        curvature, slack = 0.0, -bounds[entering]
        for k in range(size):
            direction[k] = rows[entering, k]
            for i in range(count):
                direction[k] -= coefficient[i] * normals[i, k]
            curvature += direction[k] * direction[k]
            slack += rows[entering, k] * point[k]
        partial, leaving = INFEASIBLE, -1
        for i in range(fixed, count):
            if coefficient[i] > 1e-12 and dual[i] / coefficient[i] < partial:
                partial, leaving = dual[i] / coefficient[i], i
        full = -slack / curvature if curvature > 1e-12 and count < size else INFEASIBLE
        step = min(partial, full)
        if step == INFEASIBLE:
            return INFEASIBLE
        for i in range(fixed, count):
            dual[i] -= step * coefficient[i]
        entering_dual += step
        if full < INFEASIBLE:
            for k in range(size):
                point[k] += step * direction[k]
        if full <= partial:
            normals[count] = rows[entering]
            dual[count], active[count] = entering_dual, entering
            count += 1
            entering = -1
        else:
            for i in range(leaving, count - 1):
                normals[i] = normals[i + 1]
                dual[i], active[i] = dual[i + 1], active[i + 1]
            count -= 1
    return INFEASIBLE


@_jit
def solve_pairs(
    maps, ground, required, pairs, usable, friction, least, most, finger_weight, ground_weight, all_keyframes
):  # pragma: no cover - compiled
    """Forces of every pair of contact points at every keyframe.

    Args:
        maps: (T, C, 3, 2), the wrench of a unit normal and a unit tangential force at each contact point.
        ground: (T, 3, G), the wrench of a unit force along each ground ray; columns of zeros for rays that are not.
        required: (T, 3), the wrench that all contacts together must give.
        pairs: (P, 2) indices of contact points.
        usable: (T, C), whether a finger may be there.
        friction: coefficient of the fingers' cones.
        least: smallest normal force of a finger, N.
        most: largest normal force of a finger, N.
        finger_weight: cost of a squared force of a finger.
        ground_weight: cost of a squared ground force.
        all_keyframes: whether to go on with a pair that has failed at a keyframe.

    Returns:
        The costs (P, T), infinite where infeasible, and the forces (P, T, 4 + G): normal and tangential force of the
        first finger, then of the second, then along the ground's rays, all in N.
    """
    keyframes, rays = required.shape[0], ground.shape[2]
    size = 4 + rays
    costs = np.full((pairs.shape[0], keyframes), INFEASIBLE)
    forces = np.zeros((pairs.shape[0], keyframes, size))
    scale = np.empty(size)
    scale[:4] = 1.0 / math.sqrt(finger_weight)
    scale[4:] = 1.0 / math.sqrt(ground_weight)
    rows, bounds = np.zeros((8 + rays, size)), np.zeros(8 + rays)
    slope = 1.0 / math.sqrt(1.0 + friction * friction)
    for finger in range(2):
        n, row = 2 * finger, 4 * finger
        rows[row, n], bounds[row] = 1.0, least / scale[n]
        rows[row + 1, n], bounds[row + 1] = -1.0, -most / scale[n]
        for side in range(2):
            rows[row + 2 + side, n] = friction * slope
            rows[row + 2 + side, n + 1] = slope if side else -slope
    for ray in range(rays):
        rows[8 + ray, 4 + ray] = 1.0
    equations, point = np.empty((3, size)), np.empty(size)
    for p in range(pairs.shape[0]):
        for t in range(keyframes):
            first, second = pairs[p]
            cost = INFEASIBLE
            if usable[t, first] and usable[t, second]:
                for i in range(3):
                    for k in range(2):
                        equations[i, k] = maps[t, first, i, k] * scale[k]
                        equations[i, 2 + k] = maps[t, second, i, k] * scale[2 + k]
                    for ray in range(rays):
                        equations[i, 4 + ray] = ground[t, i, ray] * scale[4 + ray]
                cost = least_norm(equations, required[t], rows, bounds, point)
            costs[p, t] = cost
            if cost < INFEASIBLE:
                forces[p, t] = point * scale
            elif not all_keyframes:
                break
    return costs, forces
