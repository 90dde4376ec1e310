"""Logs of a car: poses and controls at a fixed rate, as the simulator generates them or a user's car records them.

Poses are (x, y, heading) in m, m and rad in a fixed frame, with a continuous heading. Controls are (throttle, steering)
in [-1, 1]; ``controls[i]`` is held from ``t[i]`` to ``t[i + 1]``, and positive steering turns left going forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Log:
    """One uninterrupted drive.

    Attributes:
        t: (N,) times in s, ``dt`` apart.
        poses: (N, 3) x, y in m, heading in rad, continuous.
        controls: (N, 2) throttle and steering in [-1, 1].
        dt: control step in s.
    """

    t: np.ndarray
    poses: np.ndarray
    controls: np.ndarray
    dt: float

    def __len__(self) -> int:
        """Number of samples N."""
        return len(self.t)

    def part(self, start: int, stop: int) -> Log:
        """The samples from ``start`` up to, not including, ``stop``."""
        return Log(self.t[start:stop], self.poses[start:stop], self.controls[start:stop], self.dt)


def body_velocities(poses: np.ndarray, dt: float) -> np.ndarray:
    """Velocities (vx, vy, omega) of consecutive poses in the frame that all of RC car's parts share.

    Row ``i`` is the displacement from pose i to pose i + 1 over ``dt``, in the frame of pose i, so that
    ``pose[i + 1] = pose[i] + dt * R(heading[i]) row[i]``.

    Args:
        poses: (N, 3) with a continuous heading.
        dt: seconds between poses.

    Returns:
        (N - 1, 3) in m/s, m/s and rad/s.
    """
    change = np.diff(poses, axis=0) / dt
    cosine, sine = np.cos(poses[:-1, 2]), np.sin(poses[:-1, 2])
    forward = cosine * change[:, 0] + sine * change[:, 1]
    left = cosine * change[:, 1] - sine * change[:, 0]
    return np.stack([forward, left, change[:, 2]], axis=1)
