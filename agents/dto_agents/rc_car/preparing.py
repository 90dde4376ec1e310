"""From logs to training data: smoothing, decimation to the control rate, windows of velocities and actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter

from dto_agents.rc_car.logs import Log, body_velocities


@dataclass(frozen=True)
class Windows:
    """Short stretches of driving, as a network with ``k`` actions sees them and is judged on them for ``n`` steps.

    Velocities are (vx, vy, omega) in m/s, m/s and rad/s, in the frame of :func:`.logs.body_velocities`.

    Attributes:
        velocities: (M, 3) over the step before the window.
        controls: (M, k - 1 + n, 2) throttle and steering in [-1, 1]: k - 1 earlier ones, then those of the n steps.
        targets: (M, n, 3) velocities over the n steps.
        actions: k, the number of actions that the network sees.
    """

    velocities: np.ndarray
    controls: np.ndarray
    targets: np.ndarray
    actions: int

    def __len__(self) -> int:
        """Number of windows M."""
        return len(self.velocities)

    @property
    def inputs(self) -> np.ndarray:
        """(M, 3 + 2 k) what the network sees at the first step: velocities, then k actions, the current one last."""
        return np.concatenate([self.velocities, self.controls[:, : self.actions].reshape(len(self), -1)], axis=1)


def smooth(log: Log, window_s: float, order: int = 3) -> Log:
    """Fit a polynomial around every pose (Savitzky-Golay) and replace the pose by its value; controls stay.

    Args:
        log: with a continuous heading.
        window_s: length of the stretch each polynomial is fitted to, in s; rounded to an odd number of samples.
        order: degree of the polynomials, which pass through the filter unchanged.

    Raises:
        ValueError: the window holds too few samples for the order, or the log is shorter than the window.
    """
    window = 2 * round(window_s / log.dt / 2 - 0.5) + 1
    if order < 0 or window <= order:
        raise ValueError(
            f"a window of {window_s:g} s holds {window} samples {log.dt:.4g} s apart, too few for order {order}; "
            "pass a longer window or a lower order"
        )
    if len(log) < window:
        raise ValueError(f"the log has {len(log)} samples, fewer than the {window} of the smoothing window")
    return Log(log.t, np.asarray(savgol_filter(log.poses, window, order, axis=0)), log.controls, log.dt)


def decimate(log: Log, dt: float) -> Log:
    """Keep the samples that begin a control step of ``dt`` s; controls must be held over it.

    Raises:
        ValueError: ``dt`` is no multiple of the log's step, or fewer than two steps are left.
    """
    every = round(dt / log.dt)
    if every < 1 or abs(every * log.dt - dt) > 1e-3 * dt:
        raise ValueError(
            f"the log's rate of {1 / log.dt:.4g} Hz is no multiple of the control rate of {1 / dt:.4g} Hz; resample it"
        )
    if len(log) <= every:
        raise ValueError(f"the log's {len(log)} samples hold fewer than two control steps of {dt:g} s")
    return Log(log.t[::every], log.poses[::every], log.controls[::every], dt)


def cut_windows(log: Log, *, actions: int, steps: int = 1) -> Windows:
    """All windows of ``steps`` control steps in a log at the control rate, one beginning at every sample.

    Args:
        log: at the control rate.
        actions: number k of actions that the network sees, the current one included.
        steps: number n of steps.

    Returns:
        Windows, none where the log is too short for one.
    """
    velocities = body_velocities(log.poses, log.dt)
    start = np.arange(max(1, actions - 1), max(1, len(log) - steps))
    span = start[:, None] + np.arange(1 - actions, steps)
    return Windows(velocities[start - 1], log.controls[span], velocities[start[:, None] + np.arange(steps)], actions)


def concatenate(parts: Sequence[Windows]) -> Windows:
    """Windows of one shape, one after the other."""
    velocities, controls, targets = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("velocities", "controls", "targets")
    )
    return Windows(velocities, controls, targets, parts[0].actions)


def mirrored(windows: Windows) -> Windows:
    """The windows, and after them the same driving seen in a mirror along the car: left and right change places."""
    flip = np.array([1.0, -1.0, -1.0])
    images = Windows(windows.velocities * flip, windows.controls * flip[:2], windows.targets * flip, windows.actions)
    return concatenate([windows, images])


def prepare(logs: Sequence[Log], *, dt: float, actions: int, steps: int = 1, smoothing_s: float = 0.0) -> Windows:
    """Smooth, decimate and cut logs.

    Args:
        logs: at a multiple of the control rate.
        dt: control step in s.
        actions: number k of actions that the network sees.
        steps: number n of steps of a window.
        smoothing_s: window of the smoothing in s, 0 for none.

    Raises:
        ValueError: a log does not fit, see :func:`smooth` and :func:`decimate`, or none holds a window.
    """
    parts = []
    for log in logs:
        smoothed = smooth(log, smoothing_s) if smoothing_s > 0 else log
        parts.append(cut_windows(decimate(smoothed, dt), actions=actions, steps=steps))
    if not any(len(part) for part in parts):
        raise ValueError(f"no log holds a window of {max(actions - 1, 1)} + {steps} control steps; drive for longer")
    return concatenate(parts)
