"""The compiled barrier around obstacles, which would otherwise take as long as the network does."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def keep_clear(states, centres, clearances, discs):  # pragma: no cover - compiled
    """Summed squared missing distances (B,) of trajectories (B, T, 6), and their slopes (B, T, 3) with the pose."""
    batch, steps = states.shape[0], states.shape[1]
    total, slopes = np.zeros(batch), np.zeros((batch, steps, 3))
    for b in range(batch):
        for step in range(steps):
            x, y, heading = states[b, step, 0], states[b, step, 1], states[b, step, 2]
            cos, sin = math.cos(heading), math.sin(heading)
            for disc in discs:
                for k in range(centres.shape[0]):
                    dx, dy = x + disc * cos - centres[k, 0], y + disc * sin - centres[k, 1]
                    distance = math.sqrt(dx * dx + dy * dy)
                    missing = clearances[k] - distance
                    if missing > 0.0:
                        total[b] += missing * missing
                        push = -2.0 * missing / max(distance, 1e-9)
                        slopes[b, step, 0] += push * dx
                        slopes[b, step, 1] += push * dy
                        slopes[b, step, 2] += push * disc * (dy * cos - dx * sin)
    return total, slopes
