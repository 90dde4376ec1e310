"""What a control step does and costs: the same rules for one environment and for many closed loops at once.

Sums run over the last axis in a fixed order, so that a row gives the same bits alone and in a batch.
"""

from __future__ import annotations

import numpy as np

from dto_envs.iiwa.constants import (
    ACCELERATION_WEIGHT,
    BRAKE_SPEED,
    CONTROL_PERIOD,
    SUBSTEPS,
    TIME_WEIGHT,
    TORQUE_WEIGHT,
)
from dto_envs.iiwa.model import goal_state, goal_torque


def goal_distance(states: np.ndarray) -> np.ndarray:
    """Euclidean distance of states (..., 14) from the goal at rest, rad and rad/s alike; (...)."""
    return np.sqrt(_sum_of_squares(states - goal_state()))


def step_cost(torques: np.ndarray, speeds: np.ndarray) -> np.ndarray:
    """The running cost r1 + r2 |u - u1|^2 + r3 |a|^2, integrated over a control step.

    The acceleration is that of the motion: its mean over each substep, from the change of speed.

    Args:
        torques: (..., 7) Nm, held during the step.
        speeds: (..., SUBSTEPS + 1, 7) rad/s, before the step and after each substep.

    Returns:
        (...), the share of the episode's cost.
    """
    substep = CONTROL_PERIOD / SUBSTEPS
    accelerations = np.diff(speeds, axis=-2) / substep
    squares = _sum_of_squares(accelerations)
    total = squares[..., 0]
    for index in range(1, SUBSTEPS):
        total = total + squares[..., index]
    effort = _sum_of_squares(torques - goal_torque())
    return CONTROL_PERIOD * (TIME_WEIGHT + TORQUE_WEIGHT * effort) + substep * ACCELERATION_WEIGHT * total


def too_fast(speeds: np.ndarray) -> np.ndarray:
    """Whether a joint turns so fast that the brakes lock; (..., 7) rad/s -> (...)."""
    return np.abs(speeds).max(axis=-1) > BRAKE_SPEED


def _sum_of_squares(values: np.ndarray) -> np.ndarray:
    return np.square(values).sum(axis=-1)
