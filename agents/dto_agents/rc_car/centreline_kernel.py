"""The compiled search for the nearest point of a closed centreline; all its loops, for the sake of numba's cache."""

from __future__ import annotations

import math

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
NEWTON_ITERATIONS = 4


@_jit
def _nearest_knot(knots, x, y, guess, reach):  # pragma: no cover - compiled
    """Index of the knot nearest to (x, y), searched ``reach`` to either side of ``guess``, or all where it is -1."""
    count = knots.shape[0]
    first, tried = (0, count) if guess < 0 else (guess - reach, 2 * reach + 1)
    best, least = 0, np.inf
    for k in range(tried):
        index = (first + k) % count
        distance = (knots[index, 0] - x) ** 2 + (knots[index, 1] - y) ** 2
        if distance < least:
            best, least = index, distance
    return best


@_jit
def _on_curve(pieces, spacing, knot, way):  # pragma: no cover - compiled
    """Point, first and second derivative (x, y each) of the line, ``way`` after ``knot`` or, where negative, before."""
    if way < 0.0:
        c, w = pieces[(knot - 1) % pieces.shape[0]], way + spacing
    else:
        c, w = pieces[knot], way
    return (
        c[0, 0] + w * (c[1, 0] + w * (c[2, 0] + w * c[3, 0])),
        c[0, 1] + w * (c[1, 1] + w * (c[2, 1] + w * c[3, 1])),
        c[1, 0] + w * (2 * c[2, 0] + w * 3 * c[3, 0]),
        c[1, 1] + w * (2 * c[2, 1] + w * 3 * c[3, 1]),
        2 * c[2, 0] + 6 * w * c[3, 0],
        2 * c[2, 1] + 6 * w * c[3, 1],
    )


@_jit
def project(points, knots, pieces, spacing, reach):  # pragma: no cover - compiled
    """Where the points of trajectories (B, T, 2) stand along a line.

    ``knots`` (M, 2) lie ``spacing`` apart along it; ``pieces`` (M, 4, 2) hold the cubic that leaves each, by rising
    powers of the way from it. The result (B, T, 5) is the way along the line, the offset to its left, its tangent x, y
    and its curvature, at the nearest point.
    """
    batch, steps = points.shape[0], points.shape[1]
    length = knots.shape[0] * spacing
    found = np.empty((batch, steps, 5))
    for b in range(batch):
        knot = -1
        for step in range(steps):
            x, y = points[b, step, 0], points[b, step, 1]
            knot = _nearest_knot(knots, x, y, knot, reach)
            way = 0.0
            for _ in range(NEWTON_ITERATIONS):
                px, py, tx, ty, bx, by = _on_curve(pieces, spacing, knot, way)
                square = tx * tx + ty * ty
                slope = square - (x - px) * bx - (y - py) * by
                way += ((x - px) * tx + (y - py) * ty) / max(slope, 0.2 * square)
                way = min(max(way, -spacing), spacing)
            px, py, tx, ty, bx, by = _on_curve(pieces, spacing, knot, way)
            size = math.sqrt(tx * tx + ty * ty)
            row = found[b, step]
            row[0] = (knot * spacing + way) % length
            row[1] = (tx * (y - py) - ty * (x - px)) / size
            row[2], row[3] = tx / size, ty / size
            row[4] = (tx * by - ty * bx) / size**3
    return found
