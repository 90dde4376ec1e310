"""The analytic car: four wheels on a plane, grip up to a limit and less beyond it, over batches of cars.

Each wheel carries a quarter of the car. Its sideways velocity asks for the acceleration that would stop it within the
relaxation time; at the rear the throttle asks for one along the wheel. Where both together exceed what static friction
gives, the tyre slides: the acceleration keeps its direction and falls to what dynamic friction gives (the simulated car
of Köhler et al., Trajectory Optimization Using Neural Network Gradients of Learned Dynamics, section III-A). The rear
grips less than the front, so that it is the tail that breaks away.

**Frames.** Poses are x, y in m and the heading in rad, which is not wrapped. Body frames have x forward and y to the
left, and their origin midway between the axles. THE velocity of a control step is its displacement divided by its
duration in the body frame of the pose at its START, and the change of heading divided by the duration::

    pose[i + 1] = pose[i] + dt * R(heading[i]) velocity[i + 1]

**State.** (S,) float64 in columns: ``POSE``, ``VELOCITY`` (as above; at the start of a rollout the instantaneous
one), ``INSTANT`` (forward, left, yaw: the instantaneous velocity in the present body frame), ``SLIDING`` (for front
left, front right, rear left, rear right, the share of the last control step during which the tyre slid), then the
controls that the actuators have not answered yet, oldest first.

**Control.** Throttle and steering in [-1, 1], clipped there, held over a control step. Positive throttle accelerates
forward, positive steering turns left.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np
from numba import njit

POSE, VELOCITY, INSTANT, SLIDING = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 13)
DELAYED = 13  # first column of the controls under way
CONTROL_STEP = 0.05  # s
SUBSTEP = 1 / 240  # s, at most
GRAVITY = 9.81  # m/s^2
MOVING = 0.3  # m/s; below, a direction of travel says nothing


@dataclass(frozen=True)
class CarParameters:
    """Constants of the car; the defaults make a car that drifts when a human drives it hard.

    Attributes:
        throttle: acceleration along the rear wheels, of the share of the car that they carry, at full throttle, m/s^2.
        steering: angle of the front wheels at full steering, rad.
        front_static: friction coefficient of the front tyres until they slide.
        front_dynamic: the same while they slide.
        rear_static: friction coefficient of the rear tyres until they slide.
        rear_dynamic: the same while they slide.
        relaxation: time over which a tyre that grips would stop its sideways velocity, s.
        drag: rate at which a rolling car loses speed, 1/s.
        axle: distance of either axle from the centre, m.
        half_track: distance of the wheels from the centre line, m.
        inertia_radius: square root of yaw inertia over mass, m.
        delay: time from a control to the actuators' answer, s.
    """

    throttle: float = 7.0
    steering: float = 0.6
    front_static: float = 0.8
    front_dynamic: float = 0.68
    rear_static: float = 0.6
    rear_dynamic: float = 0.40
    relaxation: float = 0.06
    drag: float = 0.4
    axle: float = 0.13
    half_track: float = 0.08
    inertia_radius: float = 0.13
    delay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse constants of no car.

        Raises:
            ValueError: a constant is negative, not finite, or zero where that means nothing.
        """
        for name, value in self.__dict__.items():
            least = 0.0 if name in ("delay", "drag") else np.nextafter(0.0, 1.0)
            if not (math.isfinite(value) and value >= least):
                raise ValueError(f"{name} is {value!r}; a car needs a finite number {'>=' if least == 0 else '>'} 0")
        if self.relaxation < SUBSTEP:
            raise ValueError(
                f"relaxation is {self.relaxation} s; below the time step of {SUBSTEP:.4f} s it is unstable"
            )
        for axle in ("front", "rear"):
            if getattr(self, f"{axle}_dynamic") > getattr(self, f"{axle}_static"):
                raise ValueError(f"{axle}_dynamic exceeds {axle}_static; a sliding tyre has less grip, not more")


DEFAULT = CarParameters()


def steps_of_delay(parameters: CarParameters = DEFAULT, dt: float = CONTROL_STEP) -> int:
    """Number of past controls that a state must hold: the delay in control steps, rounded up."""
    return math.ceil(parameters.delay / dt - 1e-9)


def state_size(parameters: CarParameters = DEFAULT, dt: float = CONTROL_STEP) -> int:
    """S, the columns of a state."""
    return DELAYED + 2 * steps_of_delay(parameters, dt)


def initial_state(
    poses: np.ndarray, velocities: np.ndarray, parameters: CarParameters = DEFAULT, dt: float = CONTROL_STEP
) -> np.ndarray:
    """States (B, S) of cars whose actuators are at rest.

    Args:
        poses: (B, 3) x, y in m, heading in rad.
        velocities: (B, 3) instantaneous forward and left velocity in m/s, yaw rate in rad/s.
        parameters: the car; its delay decides how many controls under way a state holds.
        dt: duration of a control step, s.

    Raises:
        ValueError: poses or velocities are not (B, 3).
    """
    poses, velocities = np.asarray(poses, dtype=np.float64), np.asarray(velocities, dtype=np.float64)
    if poses.ndim != 2 or poses.shape[1] != 3 or poses.shape != velocities.shape:
        raise ValueError(f"poses and velocities must both be (B, 3), not {poses.shape} and {velocities.shape}")
    states = np.zeros((len(poses), state_size(parameters, dt)))
    states[:, POSE], states[:, VELOCITY], states[:, INSTANT] = poses, velocities, velocities
    return states


def rollout(
    states: np.ndarray,
    controls: np.ndarray,
    dt: float = CONTROL_STEP,
    parameters: CarParameters = DEFAULT,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Drive B cars for n control steps each; the same numbers give the same bits.

    Args:
        states: (B, S) as :func:`initial_state` or an earlier rollout gives them.
        controls: (B, n, 2) throttle and steering.
        dt: duration of a control step, s; it is cut into equal parts of at most 1/240 s.
        parameters: the car.
        noise: (B, n, 3) what is added to the instantaneous velocity at the start of each control step: m/s, m/s,
            rad/s. It is scaled by the speed over 1 m/s where that is less than 1, so that nothing pushes a parked car.

    Returns:
        (B, n + 1, S), the given states first.

    Raises:
        ValueError: shapes that do not fit each other, or states made for another delay or control step.
    """
    states, controls = np.asarray(states, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    size = state_size(parameters, dt)
    if states.ndim != 2 or states.shape[1] != size:
        raise ValueError(
            f"states must be (B, {size}) for a delay of {parameters.delay} s and steps of {dt} s, not {states.shape}; "
            "make them with initial_state(poses, velocities, parameters, dt)"
        )
    if controls.ndim != 3 or controls.shape[::2] != (len(states), 2):
        raise ValueError(f"controls must be ({len(states)}, n, 2), not {controls.shape}")
    if noise is None:
        noise = np.zeros((0, 0, 3))
    elif np.shape(noise) != (*controls.shape[:2], 3):
        raise ValueError(f"noise must be {(*controls.shape[:2], 3)}, not {np.shape(noise)}")
    trajectory = np.empty((len(states), controls.shape[1] + 1, size))
    noise = np.asarray(noise, dtype=np.float64)
    _drive(states, controls, noise, dt, substeps(dt), _constants(parameters), trajectory)
    return trajectory


@cache
def _constants(parameters: CarParameters) -> tuple[float, ...]:
    """The car as compiled functions take it."""
    return tuple(float(value) for value in astuple(parameters))


def substeps(dt: float) -> int:
    """The least number of equal parts of ``dt`` seconds that last 1/240 s or less.

    Raises:
        ValueError: ``dt`` is not a positive number.
    """
    if not (math.isfinite(dt) and dt > 0):
        raise ValueError(f"a control step lasts a positive time, not {dt!r} s")
    return math.ceil(dt / SUBSTEP - 1e-9)


def slip_angle(velocities: np.ndarray) -> np.ndarray:
    """Body slip angle in rad: between where cars point, or their tails if they reverse, and where their centres go.

    In [-pi/2, pi/2], positive where the centre moves to the left; zero for a car slower than ``MOVING``. A car that
    rolls at full lock has 0.33 rad; more than that takes sliding.

    Args:
        velocities: (..., 3) forward, left, yaw; instantaneous ones, for exact angles.
    """
    velocities = np.asarray(velocities, dtype=np.float64)
    forward, left = velocities[..., 0], velocities[..., 1]
    return np.where(np.hypot(forward, left) > MOVING, np.arctan2(left, np.abs(forward)), 0.0)


def at_middle(velocities: np.ndarray, dt: float = CONTROL_STEP) -> np.ndarray:
    """Velocities (..., 3) of control steps, in the body frame of the step's middle instead of its start.

    This is the nearest to an instantaneous velocity that a displacement tells, and what :func:`slip_angle` should be
    given where nothing else is known.
    """
    velocities = np.asarray(velocities, dtype=np.float64)
    forward, left, yaw = velocities[..., 0], velocities[..., 1], velocities[..., 2]
    cos, sin = np.cos(0.5 * dt * yaw), np.sin(0.5 * dt * yaw)
    return np.stack([cos * forward + sin * left, cos * left - sin * forward, yaw], axis=-1)


@njit(cache=True, nogil=True, error_model="numpy")
def _tyre(along, across, static, dynamic):  # pragma: no cover - compiled
    """What a tyre gives of the accelerations asked of it, m/s^2, and 1.0 where it slides, else 0.0."""
    asked = math.sqrt(along * along + across * across)
    if asked <= static * GRAVITY:
        return along, across, 0.0
    share = dynamic * GRAVITY / asked
    return along * share, across * share, 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _substep(forward, left, yaw, throttle, cos, sin, constants, sliding):  # pragma: no cover - compiled
    """Accelerations of the body: forward, left in m/s^2, yaw in rad/s^2; adds to ``sliding`` (4,).

    ``cos`` and ``sin`` are those of the front wheels' angle.
    """
    power, _, front_static, front_dynamic, rear_static, rear_dynamic, relaxation, _, axle, track, radius, _ = constants
    total_forward, total_left, moment = 0.0, 0.0, 0.0
    for wheel in range(4):
        side = track if wheel % 2 == 0 else -track
        if wheel < 2:
            across = -sin * (forward - yaw * side) + cos * (left + yaw * axle)
            _, given, slides = _tyre(0.0, -across / relaxation, front_static, front_dynamic)
            x, y, place = -sin * given, cos * given, axle
        else:
            across = left - yaw * axle
            x, y, slides = _tyre(throttle * power, -across / relaxation, rear_static, rear_dynamic)
            place = -axle
        total_forward += x
        total_left += y
        moment += place * y - side * x
        sliding[wheel] += slides
    return 0.25 * total_forward, 0.25 * total_left, 0.25 * moment / (radius * radius)


@njit(cache=True, nogil=True, error_model="numpy")
def _drive(states, controls, noise, dt, parts, constants, trajectory):  # pragma: no cover - compiled
    """Fill ``trajectory`` (B, n + 1, S); see :func:`rollout`."""
    cars, steps = controls.shape[0], controls.shape[1]
    under_way = (states.shape[1] - DELAYED) // 2
    h = dt / parts
    max_steering, drag, delay = constants[1], constants[7], constants[11]
    keeps = math.exp(-drag * h)
    line = np.empty((under_way + 1, 2))
    sliding = np.empty(4)
    wheels, wheels_cos, wheels_sin = 0.0, 1.0, 0.0
    for car in range(cars):
        trajectory[car, 0] = states[car]
        for k in range(under_way):
            line[k, 0], line[k, 1] = states[car, DELAYED + 2 * k], states[car, DELAYED + 2 * k + 1]
        x, y, heading = states[car, 0], states[car, 1], states[car, 2]
        forward, left, yaw = states[car, 6], states[car, 7], states[car, 8]
        for step in range(steps):
            line[under_way, 0] = min(max(controls[car, step, 0], -1.0), 1.0)
            line[under_way, 1] = min(max(controls[car, step, 1], -1.0), 1.0)
            if noise.shape[0] > 0:
                scale = min(math.sqrt(forward * forward + left * left), 1.0)
                forward += scale * noise[car, step, 0]
                left += scale * noise[car, step, 1]
                yaw += scale * noise[car, step, 2]
            sliding[:] = 0.0
            # In the body frame of the step's start, whose axes turn into the present ones by (cos, sin).
            moved_x, moved_y, turned, cos, sin = 0.0, 0.0, 0.0, 1.0, 0.0
            for part in range(parts):
                behind = min(max(math.ceil((delay - part * h) / dt - 1e-9), 0), under_way)
                throttle, steering = line[under_way - behind, 0], line[under_way - behind, 1] * max_steering
                if steering != wheels:
                    wheels, wheels_cos, wheels_sin = steering, math.cos(steering), math.sin(steering)
                gain = _substep(forward, left, yaw, throttle, wheels_cos, wheels_sin, constants, sliding)
                forward = (forward + h * gain[0]) * keeps
                left = (left + h * gain[1]) * keeps
                yaw += h * gain[2]
                moved_x += h * (cos * forward - sin * left)
                moved_y += h * (sin * forward + cos * left)
                turned += h * yaw
                # The velocity keeps its direction in the world while the body turns under it.
                c, s = math.cos(h * yaw), math.sin(h * yaw)
                forward, left = c * forward + s * left, c * left - s * forward
                cos, sin = c * cos - s * sin, s * cos + c * sin
            c, s = math.cos(heading), math.sin(heading)
            x += c * moved_x - s * moved_y
            y += s * moved_x + c * moved_y
            heading += turned
            row = trajectory[car, step + 1]
            row[0], row[1], row[2] = x, y, heading
            row[3], row[4], row[5] = moved_x / dt, moved_y / dt, turned / dt
            row[6], row[7], row[8] = forward, left, yaw
            for wheel in range(4):
                row[9 + wheel] = sliding[wheel] / parts
            for k in range(under_way):
                line[k] = line[k + 1]
                row[DELAYED + 2 * k], row[DELAYED + 2 * k + 1] = line[k, 0], line[k, 1]
