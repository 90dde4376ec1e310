"""Open-loop prediction of a drive: from which starts, over which horizon, and by how much a model is wrong.

A model is a function ``predict(states, controls, past)`` as :func:`dto_envs.rc_car.learned.rollout` is: the six numbers
at the start, the controls to come and those just given, to poses and velocities at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dto_agents.rc_car.logs import Log, body_velocities


class Predictor(Protocol):
    """Open-loop prediction of a batch."""

    def __call__(self, states: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        """Roll a batch out.

        Args:
            states: (B, 6) x, y, heading, vx, vy, omega at the start; velocities in the frame that
                :func:`dto_agents.rc_car.logs.body_velocities` uses.
            controls: (B, n, 2) throttle and steering to come.
            past: (B, p, 2) those just given, oldest first; the model uses as many of the last as it needs.

        Returns:
            (B, n + 1, 6) states, the start first.
        """
        ...


@dataclass(frozen=True)
class Starts:
    """Starts on a log and what the car then did.

    Attributes:
        states: (B, 6) at the start.
        controls: (B, n, 2) given from the start on.
        past: (B, p, 2) given before the start, oldest first.
        poses: (B, n + 1, 3) measured, the start first.
        dt: control step in s.
        starts: (B,) time of the starts in s.
    """

    states: np.ndarray
    controls: np.ndarray
    past: np.ndarray
    poses: np.ndarray
    dt: float
    starts: np.ndarray

    def __len__(self) -> int:
        """Number of starts B."""
        return len(self.states)

    def pick(self, indices: np.ndarray) -> Starts:
        """Some of the starts, by index."""
        states, controls, past, poses, starts = (
            values[indices] for values in (self.states, self.controls, self.past, self.poses, self.starts)
        )
        return Starts(states, controls, past, poses, self.dt, starts)


def moving_starts(
    logs: Sequence[Log], *, horizon: int, past: int = 12, stride: int = 5, minimum_speed: float = 0.3
) -> Starts:
    """All stretches of logs that begin with the car moving.

    Args:
        logs: uninterrupted drives with one control step.
        horizon: steps n to predict.
        past: controls p before the start that a start carries.
        stride: samples between starts.
        minimum_speed: slowest start in m/s.

    Raises:
        ValueError: the logs have different steps, or hold no such stretch.
    """
    steps = {round(log.dt, 9) for log in logs}
    if len(steps) > 1:
        raise ValueError(f"the logs have different control steps: {sorted(steps)} s; pass logs of one rate")
    states, controls, earlier, poses, starts = [], [], [], [], []
    for log in logs:
        first = max(past, 1)
        velocities = body_velocities(log.poses, log.dt)
        for start in range(first, len(log) - horizon, stride):
            velocity = velocities[start - 1]
            if np.hypot(velocity[0], velocity[1]) < minimum_speed:
                continue
            states.append(np.concatenate([log.poses[start], velocity]))
            controls.append(log.controls[start : start + horizon])
            earlier.append(log.controls[start - past : start])
            poses.append(log.poses[start : start + horizon + 1])
            starts.append(log.t[start])
    if not states:
        raise ValueError(
            f"no start with {past} samples before it, {horizon} after it and a speed of {minimum_speed} m/s; "
            "record a longer drive"
        )
    return Starts(
        np.array(states), np.array(controls), np.array(earlier), np.array(poses), logs[0].dt, np.array(starts)
    )


def errors(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position and heading errors of poses.

    Args:
        predicted: (..., 3 or more), poses first.
        measured: (..., 3).

    Returns:
        Distance in m and absolute wrapped heading error in rad, both (...).
    """
    position = np.hypot(predicted[..., 0] - measured[..., 0], predicted[..., 1] - measured[..., 1])
    turned = predicted[..., 2] - measured[..., 2]
    return position, np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
