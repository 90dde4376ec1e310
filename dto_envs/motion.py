"""Velocity, acceleration and jerk of commanded trajectories, and the spectral measures: many episodes at a time.

Physical units and conventions are those of :mod:`dto_envs.smoothness`, which puts these measures beside the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dto_envs.actions import ActionLayout

SPARC_MAX_FREQUENCY = 10.0  # Hz
SPARC_AMPLITUDE = 0.05
SPARC_PADDING = 4  # powers of two


@dataclass(frozen=True)
class Padded:
    """Episodes of unequal length in one array: ``values`` (E, T, D_a) normalised, ``steps`` (E,) of them real."""

    values: np.ndarray
    steps: np.ndarray

    @staticmethod
    def of(episodes: Sequence[np.ndarray], layout: ActionLayout) -> Padded:
        """Pad normalised episodes with zeros."""
        steps = np.array([len(actions) for actions in episodes])
        values = np.zeros((len(episodes), steps.max(), layout.size))
        for row, actions in zip(values, episodes, strict=True):
            row[: len(actions)] = layout.normalize(actions)
        return Padded(values, steps)

    def differences(self, order: int) -> np.ndarray:
        """(E, T - order, D_a) differences of the given order, zero beyond the end of an episode."""
        valid = np.arange(self.values.shape[1] - order) < (self.steps - order)[:, None]
        return np.where(valid[..., None], np.diff(self.values, n=order, axis=1), 0.0)


def motion_metrics(padded: Padded, layout: ActionLayout, dimensions: list[int]) -> dict[str, np.ndarray]:
    """Peaks, jerk and spectral measures of one group in physical units, (E,) each."""
    first = 1 if layout.difference == "velocity" else 0
    scale = np.asarray(layout.scale)[dimensions]
    length = padded.values.shape[1]

    def norms(derivative: int) -> np.ndarray:
        """(E, N) Euclidean norms of the ``derivative``-th derivative of the velocity."""
        order = first + derivative
        if order >= length:
            return np.zeros((len(padded.steps), 0))
        # Positions and velocities are affine in the normalised command; only a velocity itself needs the offset.
        values = padded.differences(order)[..., dimensions] if order else _physical(padded, layout, dimensions)
        return np.linalg.norm(values * scale if order else values, axis=2) / layout.dt**order

    speed, acceleration, jerk = norms(0), norms(1), norms(2)
    samples = np.maximum(padded.steps - first, 0)
    duration = samples * layout.dt
    peak = speed.max(axis=1, initial=0.0)
    squared_jerk = (jerk**2).sum(axis=1) * layout.dt
    dimensionless = ratio(duration**3 * squared_jerk, peak**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ldlj = np.where(dimensionless > 0, -np.log(dimensionless), np.nan)
    path = speed.sum(axis=1) * layout.dt
    return {
        "peak_velocity": peak,
        "peak_acceleration": acceleration.max(axis=1, initial=0.0),
        "peak_jerk": jerk.max(axis=1, initial=0.0),
        "normalized_jerk": np.sqrt(ratio(0.5 * squared_jerk * duration**5, path**2)),
        "sparc": _sparc(speed, samples, layout.dt),
        "ldlj": ldlj,
    }


def _physical(padded: Padded, layout: ActionLayout, dimensions: list[int]) -> np.ndarray:
    """Velocity commands (E, T, D) in physical units, raw 0 being standing still; zero beyond the end."""
    low, high = np.asarray(layout.low)[dimensions], np.asarray(layout.high)[dimensions]
    center = (low + high) / (high - low)
    values = (padded.values[..., dimensions] + center) * np.asarray(layout.scale)[dimensions]
    valid = np.arange(values.shape[1]) < padded.steps[:, None]
    return np.where(valid[..., None], values, 0.0)


def _sparc(speed: np.ndarray, samples: np.ndarray, dt: float) -> np.ndarray:
    """Spectral arc lengths (E,) of speeds (E, N), of which the first ``samples`` (E,) are real and the rest zero."""
    result = np.full(len(speed), np.nan)
    moving = np.flatnonzero(speed.max(axis=1, initial=0.0) > 0)
    padding = 2 ** (np.ceil(np.log2(np.maximum(samples, 1))).astype(int) + SPARC_PADDING)
    for size in np.unique(padding[moving]):
        rows = moving[padding[moving] == size]
        frequencies = np.fft.rfftfreq(size, dt)
        used = frequencies <= SPARC_MAX_FREQUENCY
        # Scaling by the peak first keeps tiny speeds from underflowing.
        scaled = speed[rows] / speed[rows].max(axis=1, keepdims=True)
        spectrum = np.abs(np.fft.rfft(scaled, n=int(size), axis=1))[:, used]
        spectrum /= spectrum[:, :1]
        last = spectrum.shape[1] - 1 - np.argmax(spectrum[:, ::-1] >= SPARC_AMPLITUDE, axis=1)
        inside = np.arange(spectrum.shape[1] - 1) < last[:, None]
        arcs = np.hypot(1.0 / np.maximum(last, 1)[:, None], np.diff(spectrum, axis=1))
        result[rows] = -np.where(inside, arcs, 0.0).sum(axis=1)
    return result


def sparc(speed: np.ndarray, dt: float) -> float:
    """Spectral arc length of a speed profile (N,) sampled every ``dt`` seconds; NaN where the speed is zero throughout.

    The arc length of the magnitude spectrum, scaled to its value at zero frequency, from zero to the last frequency up
    to 10 Hz at which it reaches 0.05; the speed is padded with zeros to 16 times the next power of two.
    """
    return float(_sparc(np.asarray(speed, dtype=np.float64)[None], np.array([len(speed)]), dt)[0])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients, NaN where the denominator is zero."""
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / safe, np.nan)
