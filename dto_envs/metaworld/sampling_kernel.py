"""Farthest-point sampling, compiled."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Choose points that are spread out: each is the farthest from those chosen before (Eldar et al. 1997).

    Args:
        points: (N, 3) float64; the first is chosen first.
        count: how many to choose, at most N.

    Returns:
        (count,) int64, indices in the order of choice; of equally far points the first.
    """
    chosen = np.empty(count, dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    latest = 0
    for index in range(count):
        chosen[index] = latest
        x, y, z = points[latest]
        farthest = -1.0
        for other in range(len(points)):
            dx, dy, dz = points[other, 0] - x, points[other, 1] - y, points[other, 2] - z
            distance = min(nearest[other], dx * dx + dy * dy + dz * dz)
            nearest[other] = distance
            if distance > farthest:
                farthest = distance
                latest = other
    return chosen
