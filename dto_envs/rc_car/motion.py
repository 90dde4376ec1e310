"""What moves the car in an environment, one control step at a time: the analytic car or networks that learned one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dto_envs.choices import check_choice
from dto_envs.rc_car.car import INSTANT, SLIDING, CarParameters, at_middle, initial_state, rollout, slip_angle
from dto_envs.rc_car.learned import CarNetwork, list_models, read_network
from dto_envs.rc_car.learned import rollout as predict

SHIPPED = ("simulated", "real")
SLIDING_SLIP = 0.4  # rad; a learned car, which has no wheels, is taken to slide beyond this


class AnalyticMotion:
    """The car of :mod:`dto_envs.rc_car.car`.

    Attributes:
        state: (6,) pose and velocity; see there.
        slip: instantaneous body slip angle, rad.
        sliding: (4,) share of the last step during which each tyre slid.
        uncertainty: None, for there is none.
    """

    def __init__(self, dt: float, delay: float = 0.0, process_noise: float = 0.0) -> None:
        """A car that moves in steps of ``dt`` seconds.

        Args:
            dt: duration of a control step, s.
            delay: of the actuators, s.
            process_noise: standard deviation of the random changes of velocity that add up over a second, in m/s; the
                yaw rate gets as much at the axles.

        Raises:
            ValueError: a negative or non-finite delay or noise.
        """
        if not (np.isfinite(process_noise) and process_noise >= 0):
            raise ValueError(f"process_noise is {process_noise!r}; it is a standard deviation in m/s, 0 or more")
        self._parameters = CarParameters(delay=delay)
        self._dt = dt
        self._noise = process_noise * np.sqrt(dt) * np.array([1.0, 1.0, 1.0 / self._parameters.axle])
        self._full = np.zeros(0)
        self.uncertainty: float | None = None

    def reset(self, state: np.ndarray) -> None:
        """Put the car at ``state`` (6,), actuators at rest."""
        self._full = initial_state(state[None, :3], state[None, 3:], self._parameters, self._dt)[0]

    def step(self, control: np.ndarray, generator: np.random.Generator) -> None:
        """Drive one step with ``control`` (2,); ``generator`` is asked for noise only where there is some."""
        noise = self._noise * generator.standard_normal(3) if self._noise.any() else None
        controls = np.asarray(control, dtype=np.float64)[None, None]
        after = rollout(
            self._full[None], controls, self._dt, self._parameters, None if noise is None else noise[None, None]
        )
        self._full = after[0, 1]

    @property
    def state(self) -> np.ndarray:
        """(6,) pose and velocity."""
        return self._full[:6].copy()

    @property
    def slip(self) -> float:
        """Body slip angle, rad."""
        return float(slip_angle(self._full[INSTANT]))

    @property
    def sliding(self) -> np.ndarray:
        """(4,) share of the last step during which each tyre slid."""
        return self._full[SLIDING].copy()


class LearnedMotion:
    """Networks of :mod:`dto_envs.rc_car.learned` that move one car: by the mean of the velocities that they predict.

    Attributes:
        state: (6,) pose and velocity.
        slip: body slip angle in the middle of the last step, rad.
        sliding: (4,) all ones where it is beyond 0.4 rad, else zeros.
        uncertainty: how much the networks disagree about the last step: the root of the summed variances of forward,
            left and 0.13 m x yaw velocity, m/s; 0 for a single network.
    """

    def __init__(self, dt: float, models: str | Path | Sequence[str | Path]) -> None:
        """Load the networks.

        Args:
            dt: duration of a control step, s.
            models: "simulated" or "real" for the shipped ones, or a file, or files.

        Raises:
            ValueError: no such models, or ones that learned steps of another duration.
        """
        self._networks = [read_network(path) for path in _paths(models)]
        for network in self._networks:
            _check_rate(network, dt)
        self._dt = dt
        self._past = np.zeros((0, 2))
        self.state = np.zeros(6)
        self.uncertainty: float | None = 0.0

    def reset(self, state: np.ndarray) -> None:
        """Put the car at ``state`` (6,), no actions before."""
        self.state = np.array(state, dtype=np.float64)
        self._past = np.zeros((max(network.actions for network in self._networks) - 1, 2))
        self.uncertainty = 0.0

    def step(self, control: np.ndarray, generator: np.random.Generator) -> None:
        """Drive one step with ``control`` (2,); nothing is random.

        Raises:
            FloatingPointError: the prediction is not finite.
        """
        controls = np.asarray(control, dtype=np.float64)[None, None]
        velocities = np.array([self._predict(network, controls) for network in self._networks])
        velocity = velocities.mean(axis=0)
        if not np.isfinite(velocity).all():
            raise FloatingPointError("the learned dynamics diverged: it predicts a velocity that is not finite")
        self.uncertainty = float(np.sqrt((velocities.var(axis=0) * np.array([1.0, 1.0, 0.13**2])).sum()))
        x, y, heading = self.state[:3]
        cos, sin = np.cos(heading), np.sin(heading)
        forward, left, yaw = velocity
        moved = np.array([cos * forward - sin * left, sin * forward + cos * left, yaw])
        self.state = np.concatenate([np.array([x, y, heading]) + self._dt * moved, velocity])
        if len(self._past):
            self._past = np.vstack([self._past[1:], controls[0]])

    def _predict(self, network: CarNetwork, controls: np.ndarray) -> np.ndarray:
        past = self._past[len(self._past) - (network.actions - 1) :]
        return predict(network, self.state, controls, past)[0, 1, 3:]

    @property
    def slip(self) -> float:
        """Body slip angle, rad."""
        return float(slip_angle(at_middle(self.state[3:], self._dt)))

    @property
    def sliding(self) -> np.ndarray:
        """(4,) ones where the car slides, else zeros."""
        return np.full(4, float(abs(self.slip) > SLIDING_SLIP))


def make_motion(
    dynamics: str,
    dt: float,
    *,
    delay: float = 0.0,
    process_noise: float = 0.0,
    models: str | Path | Sequence[str | Path] = "simulated",
) -> AnalyticMotion | LearnedMotion:
    """What ``dynamics``, "analytic" or "learned", stands for; see the two classes.

    Raises:
        ValueError: an unknown name, delay or noise for learned dynamics, or what the classes refuse.
    """
    check_choice("dynamics", dynamics, ("analytic", "learned"))
    if dynamics == "analytic":
        return AnalyticMotion(dt, delay, process_noise)
    if delay or process_noise:
        raise ValueError("delay and process_noise belong to dynamics='analytic'; a learned car has what its data had")
    return LearnedMotion(dt, models)


def _paths(models: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    if isinstance(models, str) and models in SHIPPED:
        return list_models(models)
    listed = [models] if isinstance(models, str | Path) else list(models)
    if not listed:
        raise ValueError("models is empty; name 'simulated', 'real' or one or more files")
    for path in listed:
        if not Path(path).is_file():
            raise ValueError(f"models: there is no file {str(path)!r}; name 'simulated', 'real' or an existing file")
    return listed


def _check_rate(network: CarNetwork, dt: float) -> None:
    if abs(network.dt - dt) > 1e-3 * dt:
        rate = 1 / network.dt
        raise ValueError(
            f"the model learned steps of {network.dt:.4g} s, the environment takes steps of {dt:.4g} s; "
            f"make it with control_frequency={rate:g}"
        )
