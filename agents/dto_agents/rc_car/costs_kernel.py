"""The compiled terms of a cost, which would otherwise take as long as the network does."""

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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def steady(controls, magnitude, change, limit, fastest, previous, linked):  # pragma: no cover - compiled
    """Equations 5 and 6 for controls (B, n, 2): costs (B,) and their slopes (B, n, 2).

    Where ``linked``, the first change is counted from ``previous`` (2,).
    """
    batch, steps = controls.shape[0], controls.shape[1]
    total, slopes = np.zeros(batch), np.zeros(controls.shape)
    for b in range(batch):
        for step in range(steps):
            for c in range(2):
                value = controls[b, step, c]
                excess = value - min(max(value, -1.0), 1.0)
                total[b] += magnitude * value * value + limit * excess * excess
                slopes[b, step, c] += 2.0 * (magnitude * value + limit * excess)
                if step > 0 or linked:
                    moved = value - (controls[b, step - 1, c] if step > 0 else previous[c])
                    haste = moved - min(max(moved, -fastest), fastest)
                    total[b] += change * moved * moved + limit * haste * haste
                    slope = 2.0 * (change * moved + limit * haste)
                    slopes[b, step, c] += slope
                    if step > 0:
                        slopes[b, step - 1, c] -= slope
    return total, slopes
