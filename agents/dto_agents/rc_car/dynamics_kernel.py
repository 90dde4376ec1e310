"""The compiled sweep over the blocks of the analytic car's derivatives."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sweep(states, moving, hidden, state_costs, control_costs, dt):  # pragma: no cover - compiled
    """The gradient (B, n, 2) of a cost with regard to the controls, from the last step of each trajectory to the first.

    States are (B, n + 1, S), ``moving`` (B, n, 3, H + 2) and ``hidden`` (B, n, H, H + 2) the derivatives of the next
    velocity and of the next H hidden numbers, ``state_costs`` (B, n + 1, 6) and ``control_costs`` (B, n, 2) the cost's
    partial derivatives.
    """
    batch, steps, size = hidden.shape[0], hidden.shape[1], hidden.shape[2]
    gradient = control_costs.copy()
    multiplier, inner, pulled = np.empty(6), np.empty(size), np.empty(size + 2)
    for b in range(batch):
        multiplier[:], inner[:] = state_costs[b, steps], 0.0
        for step in range(steps - 1, -1, -1):
            cos, sin = math.cos(states[b, step, 2]), math.sin(states[b, step, 2])
            vx, vy = states[b, step + 1, 3], states[b, step + 1, 4]
            mx, my, turn = multiplier[0], multiplier[1], multiplier[2]
            pulls = (
                multiplier[3] + dt * (cos * mx + sin * my),
                multiplier[4] + dt * (cos * my - sin * mx),
                multiplier[5] + dt * turn,
            )
            pulled[:] = 0.0
            for i in range(3):
                pulled += pulls[i] * moving[b, step, i]
            for i in range(size):
                pulled += inner[i] * hidden[b, step, i]
            gradient[b, step, 0] += pulled[size]
            gradient[b, step, 1] += pulled[size + 1]
            inner[:] = pulled[:size]
            multiplier[:] = state_costs[b, step]
            multiplier[0] += mx
            multiplier[1] += my
            multiplier[2] += turn + dt * (mx * (-sin * vx - cos * vy) + my * (cos * vx - sin * vy))
    return gradient
