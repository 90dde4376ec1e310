"""Models of a car that need no network: a constant twist, a kinematic bicycle and a dynamic bicycle with Pacejka tyres.

The bicycles are fitted to logs by least squares on what they predict open loop, actuation delays included, so that a
learned model is compared with the best that its physics allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numba import njit
from scipy.optimize import least_squares

from dto_agents.rc_car.prediction import Starts

SUBSTEP = 1 / 240  # longest integration step in s
SLOWEST = 0.4  # speed in m/s below which slip angles are taken as if the car had this speed

Kind = Literal["kinematic", "dynamic"]

# name -> (start of the fit, lowest, highest). Accelerations per unit of throttle, forces per unit of mass.
KINEMATIC = MappingProxyType(
    {
        "delay_throttle": (0.10, 0.0, 0.26),  # s
        "delay_steering": (0.10, 0.0, 0.26),  # s
        "steering_gain": (0.35, 0.05, 0.8),  # rad
        "steering_offset": (0.0, -0.1, 0.1),  # rad
        "steering_lag": (0.03, 0.005, 0.3),  # s, time constant of the servo
        "motor": (6.0, 0.5, 40.0),  # m/s^2
        "motor_fade": (0.5, 0.0, 10.0),  # 1/s, throttle lost with speed in its direction
        "brake": (6.0, 0.5, 40.0),  # m/s^2, throttle against the motion
        "rolling": (0.5, 0.0, 8.0),  # m/s^2
        "drag": (0.1, 0.0, 4.0),  # 1/s
        "front": (0.13, 0.02, 0.4),  # m from the tracked point to the front axle
        "rear": (0.13, 0.02, 0.4),  # m to the rear axle
    }
)
DYNAMIC = MappingProxyType(
    {
        **KINEMATIC,
        "inertia": (0.05, 0.002, 0.5),  # yaw inertia over mass in m^2
        "front_d": (5.0, 0.5, 30.0),  # m/s^2, peak lateral force of the axle
        "front_c": (1.4, 0.3, 2.5),
        "front_b": (4.0, 0.3, 30.0),
        "rear_d": (5.0, 0.5, 30.0),
        "rear_c": (1.4, 0.3, 2.5),
        "rear_b": (4.0, 0.3, 30.0),
        "ellipse": (0.3, 0.0, 1.0),  # how much of the rear's lateral force the drive takes, 1: a friction circle
    }
)


def constant_twist(states: np.ndarray, controls: np.ndarray, past: np.ndarray, dt: float) -> np.ndarray:
    """Keep the last measured body velocity; arguments and result as :class:`dto_agents.rc_car.prediction.Predictor`."""
    result = np.repeat(np.asarray(states, dtype=np.float64)[:, None], controls.shape[1] + 1, axis=1)
    for i in range(controls.shape[1]):
        x, y, heading, vx, vy, omega = result[:, i].T
        result[:, i + 1, 0] = x + dt * (np.cos(heading) * vx - np.sin(heading) * vy)
        result[:, i + 1, 1] = y + dt * (np.sin(heading) * vx + np.cos(heading) * vy)
        result[:, i + 1, 2] = heading + dt * omega
    return result


@dataclass(frozen=True)
class Bicycle:
    """A fitted bicycle model.

    Attributes:
        kind: ``kinematic`` (tyres never slip sideways) or ``dynamic``.
        parameters: value of every name in :data:`KINEMATIC` or :data:`DYNAMIC`.
        dt: control step in s.
    """

    kind: Kind
    parameters: Mapping[str, float]
    dt: float

    def __call__(self, states: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        """Predict open loop; see :class:`dto_agents.rc_car.prediction.Predictor`."""
        values = np.array([self.parameters[name] for name in table(self.kind)])
        return _simulate(self.kind, values, states, controls, past, self.dt)


def table(kind: Kind) -> Mapping[str, tuple[float, float, float]]:
    """The parameters of a kind of bicycle: where a fit starts and between which values it stays."""
    return KINEMATIC if kind == "kinematic" else DYNAMIC


def fit_bicycle(kind: Kind, windows: Starts, *, starts: int = 3, seed: int = 0, evaluations: int = 60) -> Bicycle:
    """Fit a bicycle to windows by robust least squares on poses along the whole horizon.

    Args:
        kind: see :class:`Bicycle`.
        windows: what to fit to.
        starts: fits from different random starts, of which the best is kept.
        seed: of the starts.
        evaluations: at most so many Jacobians per start.
    """
    entries = np.array(list(table(kind).values()))
    first, low, high = entries.T
    span = high - low
    generator = np.random.default_rng(seed)
    best = None
    for attempt in range(starts):
        guess = (
            first if attempt == 0 else first + generator.uniform(-0.3, 0.3, len(first)) * np.minimum(span, first + 0.05)
        )
        scaled = np.clip((guess - low) / span, 0.001, 0.999)
        result = least_squares(
            lambda x: _residuals(kind, low + x * span, windows),
            scaled,
            bounds=(0, 1),
            loss="soft_l1",
            f_scale=0.1,
            max_nfev=evaluations,
            diff_step=1e-4,
        )
        if best is None or result.cost < best.cost:
            best = result
    assert best is not None
    values = low + best.x * span
    return Bicycle(kind, MappingProxyType(dict(zip(table(kind), map(float, values), strict=True))), windows.dt)


def _residuals(kind: Kind, values: np.ndarray, windows: Starts) -> np.ndarray:
    """Position errors and heading errors (0.3 m/rad) at a third, two thirds and the end of the horizon."""
    predicted = _simulate(kind, values, windows.states, windows.controls, windows.past, windows.dt)
    horizon = windows.controls.shape[1]
    at = [horizon // 3, 2 * horizon // 3, horizon]
    difference = predicted[:, at, :3] - windows.poses[:, at]
    difference[..., 2] = 0.3 * np.arctan2(np.sin(difference[..., 2]), np.cos(difference[..., 2]))
    return np.nan_to_num(np.clip(difference, -10, 10), nan=10.0).ravel()


def _simulate(
    kind: Kind, values: np.ndarray, states: np.ndarray, controls: np.ndarray, past: np.ndarray, dt: float
) -> np.ndarray:
    given = np.ascontiguousarray(np.concatenate([past, controls], axis=1), dtype=np.float64)
    padded = np.zeros(len(DYNAMIC))
    padded[: len(values)] = values
    substeps = int(np.ceil(dt / SUBSTEP - 1e-9))
    start = np.ascontiguousarray(states, dtype=np.float64)
    return _integrate(kind == "dynamic", padded, start, given, past.shape[1], dt, substeps)


@njit(cache=True, error_model="numpy")
def _delayed(given: np.ndarray, at: float) -> float:
    """The control ``at`` steps after the first, which holds before it; linear between steps, so that delays fit."""
    at = min(max(at, 0.0), len(given) - 1.0)
    i = min(int(at), len(given) - 2)
    return given[i] + (at - i) * (given[i + 1] - given[i])


@njit(cache=True, error_model="numpy")
def _integrate(
    slips: bool, p: np.ndarray, states: np.ndarray, given: np.ndarray, before: int, dt: float, substeps: int
) -> np.ndarray:
    steps = given.shape[1] - before
    result = np.empty((len(states), steps + 1, 6))
    h = dt / substeps
    keep = np.exp(-h / p[4])
    for b in range(len(states)):
        result[b, 0] = states[b]
        x, y, heading, along, left, omega = states[b]
        # The displacement of a step has the direction of the car in the middle of it; turn it into today's frame.
        turn = 0.5 * omega * dt
        vx = np.cos(turn) * along + np.sin(turn) * left
        vy = np.cos(turn) * left - np.sin(turn) * along
        servo = 0.0
        for i in range(before * substeps):
            wanted = _delayed(given[b, :, 1], (i * h - p[1]) / dt)
            servo = wanted + (servo - wanted) * keep
        for i in range(steps):
            x0, y0, heading0 = x, y, heading
            for j in range(substeps):
                now = before + i + j / substeps
                wanted = _delayed(given[b, :, 1], now - p[1] / dt)
                servo = wanted + (servo - wanted) * keep
                throttle = _delayed(given[b, :, 0], now - p[0] / dt)
                steer = p[2] * servo + p[3]
                if slips:
                    ax, ay, spin = _forces(p, vx, vy, omega, throttle, steer)
                    vx, vy, omega = vx + h * (ax + vy * omega), vy + h * (ay - vx * omega), omega + h * spin
                else:
                    vx += h * _drive(p, vx, throttle)
                    omega = vx * np.tan(steer) / (p[10] + p[11])
                    vy = omega * p[11]
                middle = heading + 0.5 * h * omega
                x += h * (np.cos(middle) * vx - np.sin(middle) * vy)
                y += h * (np.sin(middle) * vx + np.cos(middle) * vy)
                heading += h * omega
            c, s = np.cos(heading0), np.sin(heading0)
            result[b, i + 1, 0], result[b, i + 1, 1], result[b, i + 1, 2] = x, y, heading
            result[b, i + 1, 3] = (c * (x - x0) + s * (y - y0)) / dt
            result[b, i + 1, 4] = (c * (y - y0) - s * (x - x0)) / dt
            result[b, i + 1, 5] = (heading - heading0) / dt
    return result


@njit(cache=True, error_model="numpy")
def _drive(p: np.ndarray, vx: float, throttle: float) -> float:
    """Longitudinal acceleration in m/s^2 of motor, brake, rolling resistance and drag."""
    direction = np.tanh(vx / 0.1)
    if throttle * vx >= 0:
        motor = throttle * max(p[5] - p[6] * abs(vx), 0.0)
    else:
        motor = throttle * p[7]
    return motor - p[8] * direction - p[9] * vx


@njit(cache=True, error_model="numpy")
def _forces(p: np.ndarray, vx: float, vy: float, omega: float, throttle: float, steer: float):
    """Accelerations (ax, ay) in m/s^2 and the yaw acceleration of a car on two Pacejka tyres."""
    c, s = np.cos(steer), np.sin(steer)
    # Velocity of the front wheel in its own frame; slip angles work both ways round.
    front_left = -s * vx + c * (vy + p[10] * omega)
    front_along = c * vx + s * (vy + p[10] * omega)
    rear_left = vy - p[11] * omega
    front_slip = np.arctan2(front_left, max(abs(front_along), SLOWEST))
    rear_slip = np.arctan2(rear_left, max(abs(vx), SLOWEST))
    front = -p[13] * np.sin(p[14] * np.arctan(p[15] * front_slip))
    rear = -p[16] * np.sin(p[17] * np.arctan(p[18] * rear_slip))
    drive = _drive(p, vx, throttle)
    used = min(abs(drive) / p[16], 1.0)
    rear *= np.sqrt(1 - p[19] * used * used)
    ax = drive - s * front
    ay = rear + c * front
    return ax, ay, (p[10] * c * front - p[11] * rear) / p[12]
