"""The compiled loop of the penalty-based filter; imported when the filter is first called."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def descend(
    steps: np.ndarray,
    start: np.ndarray,
    linked: bool,
    lower: np.ndarray,
    upper: np.ndarray,
    eta: float,
    tolerance: float,
    max_iterations: int,
) -> None:  # pragma: no cover - compiled
    """Descend on the violations in place, sample by sample.

    Args:
        steps: (B, T, D_c) trajectory dimensions, contiguous float64; overwritten.
        start: (B, D_c) last executed actions; ignored unless ``linked``.
        linked: whether step 0 is bound to ``start``.
        lower: (T, D_c) lower limits on the differences.
        upper: (T, D_c) upper limits.
        eta: step size.
        tolerance: stop below this sum of the two violation norms.
        max_iterations: stop after this many iterations.
    """
    batch, horizon, dims = steps.shape
    size = horizon * dims
    low, high = lower.reshape(size), upper.reshape(size)
    before, above = np.empty(size), np.empty(size)
    first = 0 if linked else dims
    for b in range(batch):
        c = steps[b].reshape(size)
        for i in range(dims):
            before[i] = start[b, i]
        for _ in range(max_iterations):
            for i in range(dims, size):
                before[i] = c[i - dims]
            up, down = 0.0, 0.0
            for i in range(first, size):
                difference = c[i] - before[i]
                over = max(difference - high[i], 0.0)
                under = max(low[i] - difference, 0.0)
                up += over * over
                down += under * under
                above[i] = over - under
            if math.sqrt(up) + math.sqrt(down) < tolerance:
                break
            for i in range(first, size):
                c[i] -= eta * above[i]
