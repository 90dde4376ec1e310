"""Human-like driving of the simulated car: what a person with a remote control does in a hall of 5 m by 10 m.

A drive is a chain of :mod:`.manoeuvres`. The sticks move at a finite speed and tremble; before the car would leave the
hall the driver breaks off and brakes. The drive is recorded as a motion capture system would, at 240 Hz with noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dto_agents.rc_car.logs import Log
from dto_agents.rc_car.manoeuvres import HABITS, Command, Maker, Manoeuvre, View, play, return_to_middle
from dto_agents.rc_car.reading import COLUMNS
from dto_envs.rc_car import car


@dataclass(frozen=True)
class Drive:
    """How a drive is made.

    Attributes:
        duration_s: its length.
        area_m: size of the hall along x and y, centred on the origin; the car's centre stays inside.
        dt: control step in s, over which a control is held.
        rate_hz: rate of the recording, a multiple of the control rate.
        position_noise_m: standard deviation of the motion capture's x and y.
        heading_noise_rad: standard deviation of its heading.
        stick_rate: how far a stick travels in 1 s; from one end to the other is 2.
        tremor: standard deviation of the hand's noise on both sticks.
    """

    duration_s: float = 900.0
    area_m: tuple[float, float] = (5.0, 10.0)
    dt: float = 0.05
    rate_hz: float = 240.0
    position_noise_m: float = 0.001
    heading_noise_rad: float = 0.01
    stick_rate: float = 12.0
    tremor: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what cannot be driven."""
        if self.duration_s < 2 * self.dt:
            raise ValueError(f"a drive of {self.duration_s:g} s is shorter than two control steps of {self.dt:g} s")
        if abs(self.substeps / self.rate_hz - self.dt) > 1e-9 or self.substeps < 1:
            raise ValueError(f"{self.rate_hz:g} Hz is no multiple of the control rate of {1 / self.dt:g} Hz")
        if min(self.area_m) < 3:
            raise ValueError(
                f"a hall of {self.area_m[0]:g} by {self.area_m[1]:g} m is too small to brake in; 3 m or more"
            )

    @property
    def substeps(self) -> int:
        """Samples of the recording per control step."""
        return round(self.dt * self.rate_hz)


@dataclass(frozen=True)
class Driven:
    """A drive as it was and as it was recorded.

    Attributes:
        log: the recording, with noise.
        true: the same without noise.
        slip: (N,) slip angle in rad, see :func:`dto_envs.rc_car.car.slip_angle`.
    """

    log: Log
    true: Log
    slip: np.ndarray


def drive(plan: Drive, seed: int | Sequence[int], parameters: car.CarParameters = car.DEFAULT) -> Driven:
    """Drive and record; the same plan, seed and parameters give the same bits.

    Args:
        plan: how long, where, how steadily.
        seed: seed, or seeds, of manoeuvres, tremor and measurement noise.
        parameters: the car.
    """
    rng = np.random.default_rng(seed)
    driver = _Driver(plan, rng, parameters)
    tick = 1 / plan.rate_hz
    pose = np.array([[0.0, 0.0, rng.uniform(-np.pi, np.pi)]])
    state = car.initial_state(pose, np.zeros((1, 3)), parameters, tick)
    paths, controls = [], []
    for _ in range(round(plan.duration_s / plan.dt)):
        held = np.tile(driver.command(state[0]), (plan.substeps, 1))
        path = car.rollout(state, held[None], tick, parameters)[0]
        paths.append(path[:-1])
        controls.append(held)
        state = path[-1:]
    return _record(plan, rng, np.concatenate(paths), np.concatenate(controls))


def cut_trajectories(
    plan: Drive, seed: int | Sequence[int], *, count: int, seconds: float, lead_s: float = 0.5
) -> list[Log]:
    """Short recordings to validate on, the first half of them drifting, cut from one drive.

    One that drifts slips by more than 0.4 rad for a tenth of its time; one that does not slips by 0.35 rad at most, a
    little more than a car that rolls at full lock, and covers a metre or more.

    Args:
        plan: how to drive; its duration is replaced by one that suffices.
        seed: seed of the drive.
        count: number of trajectories.
        seconds: length of each.
        lead_s: what was recorded before each, from which a model takes its first velocity and its past controls.

    Returns:
        Logs of ``lead_s + seconds`` s and one more sample, which tells where the last control step led.

    Raises:
        ValueError: the drive holds too few of a kind.
    """
    lead, length = round(lead_s * plan.rate_hz), round((lead_s + seconds) * plan.rate_hz) + 1
    driven = drive(replace(plan, duration_s=max(60.0, 8 * count * (lead_s + seconds))), seed)
    drifting, gripping = [], []
    whole_steps = math.ceil(length / plan.substeps) * plan.substeps
    for start in range(0, len(driven.log) - length, whole_steps):
        slip = np.abs(driven.slip[start + lead : start + length])
        covered = np.hypot(*np.diff(driven.true.poses[start + lead : start + length, :2], axis=0).T).sum()
        if np.mean(slip > 0.4) > 0.1:
            drifting.append(driven.log.part(start, start + length))
        elif np.max(slip) < 0.35 and covered > 1:
            gripping.append(driven.log.part(start, start + length))
    half = count // 2
    if len(drifting) < half or len(gripping) < count - half:
        raise ValueError(
            f"the drive holds {len(drifting)} drifting and {len(gripping)} gripping trajectories of {seconds:g} s, too "
            f"few for {count}; pass another seed or fewer"
        )
    return drifting[:half] + gripping[: count - half]


@dataclass(frozen=True)
class Recordings:
    """What a network is trained, tested and validated on: three files in one folder.

    Attributes:
        train: recording of ``plan.duration_s``.
        test: recording of a minute.
        validation: trajectories of 3 s and their lead, half of them drifting.
    """

    train: Log
    test: Log
    validation: tuple[Log, ...]

    @classmethod
    def make(cls, plan: Drive, seed: int, count: int = 40) -> Recordings:
        """Drive three times, each with random numbers of its own that follow from ``seed``."""
        return cls(
            train=drive(plan, (seed, 0)).log,
            test=drive(replace(plan, duration_s=60.0), (seed, 1)).log,
            validation=tuple(cut_trajectories(plan, (seed, 2), count=count, seconds=3.0)),
        )

    def write(self, folder: Path) -> list[Path]:
        """Write train.npz, test.npz and validation.npz, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {"train": [self.train], "test": [self.test], "validation": self.validation}
        return [write_log(folder / f"{name}.npz", logs) for name, logs in files.items()]


def write_log(path: Path, logs: Sequence[Log], gap_s: float = 1.0) -> Path:
    """Write drives of one rate as a log that :func:`dto_agents.rc_car.reading.read_log` reads, which cuts it at gaps.

    Args:
        path: npz file with t, x, y, heading, throttle and steering.
        logs: the drives; each begins ``gap_s`` after the end of the one before it.
        gap_s: see above.
    """
    times, end = [], -gap_s
    for log in logs:
        times.append(log.t - log.t[0] + end + gap_s)
        end = times[-1][-1]
    poses, controls = (np.concatenate([getattr(log, name) for log in logs]) for name in ("poses", "controls"))
    columns = dict(zip(COLUMNS, (np.concatenate(times), *poses.T, *controls.T), strict=True))
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **columns)
    partial.replace(path)
    return path


def _record(plan: Drive, rng: np.random.Generator, states: np.ndarray, controls: np.ndarray) -> Driven:
    t = np.arange(len(states)) / plan.rate_hz
    poses = states[:, car.POSE].copy()
    noise = rng.normal(size=poses.shape) * [plan.position_noise_m, plan.position_noise_m, plan.heading_noise_rad]
    return Driven(
        log=Log(t, poses + noise, controls, 1 / plan.rate_hz),
        true=Log(t, poses, controls, 1 / plan.rate_hz),
        slip=car.slip_angle(states[:, car.INSTANT]),
    )


class _Driver:
    """Chooses manoeuvres, moves the sticks, and breaks off before the car would leave the hall.

    A command is given only if the car can still be stopped inside the hall afterwards, in a way the driver has thought
    of; if not, the way out thought of one step earlier is taken.
    """

    MARGIN = 0.16  # m that a moving car keeps from the edge of the hall; a slow one needs less, to turn round
    SLOW = 0.3  # m/s
    LOOK_AHEAD = 32  # control steps, enough to stop from full speed
    BREAKS_OFF = 8  # control steps of braking before the driver thinks again
    BRAKING = 2.2  # m/s^2, what the driver expects of the brakes

    def __init__(self, plan: Drive, rng: np.random.Generator, parameters: car.CarParameters) -> None:
        self._plan, self._rng, self._parameters = plan, rng, parameters
        self._half = (plan.area_m[0] / 2, plan.area_m[1] / 2)
        self._shares = np.array([share for _, share in HABITS]) / sum(share for _, share in HABITS)
        self._manoeuvre: Manoeuvre | None = None
        self._next_maker: Maker | None = None
        self._sticks = np.zeros(2)
        self._way_out = np.zeros((self.LOOK_AHEAD, 2))
        self._breaking_off = 0

    def command(self, state: np.ndarray) -> np.ndarray:
        """Throttle and steering for the next control step, from the car's state (S,)."""
        if self._breaking_off == 0:
            view = View(*state[car.POSE], *state[car.INSTANT])
            wanted = self._move_sticks(self._want(view))
            way_out = self._find_way_out(state, wanted)
            if way_out is not None:
                self._sticks, self._way_out = wanted, way_out
                return wanted
            self._breaking_off = self.BREAKS_OFF
            self._manoeuvre = None
            self._next_maker = return_to_middle if self._rng.random() < 0.8 else play
        self._breaking_off -= 1
        self._sticks, self._way_out = self._way_out[0], np.concatenate([self._way_out[1:], self._way_out[-1:]])
        return self._sticks

    def _want(self, view: View) -> Command:
        if self._manoeuvre is not None:
            with suppress(StopIteration):
                return self._manoeuvre.send(view)
        maker = self._next_maker or self._choose()
        self._next_maker = None
        while True:
            self._manoeuvre = maker(self._rng, view, self._half)
            first = next(self._manoeuvre, None)
            if first is not None:
                return first
            maker = self._choose()

    def _choose(self) -> Maker:
        return HABITS[self._rng.choice(len(HABITS), p=self._shares)][0]

    def _move_sticks(self, wanted: Command) -> np.ndarray:
        trembling = np.array(wanted) + self._rng.normal(size=2) * self._plan.tremor
        reach = self._plan.stick_rate * self._plan.dt
        return np.clip(self._sticks + np.clip(trembling - self._sticks, -reach, reach), -1, 1)

    def _find_way_out(self, state: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
        """Controls (LOOK_AHEAD, 2) that stop the car inside the hall after one step of ``wanted``, if there are any."""
        dt, parameters = self._plan.dt, self._parameters
        start = car.initial_state(state[None, car.POSE], state[None, car.INSTANT], parameters, dt)
        start = car.rollout(start, wanted[None, None], dt, parameters)[:, -1]
        forward, left = start[0, car.INSTANT][:2]
        braked = round(math.hypot(forward, left) / self.BRAKING / dt)
        ways = np.zeros((3, self.LOOK_AHEAD, 2))
        ways[:, :braked, 0] = -np.sign(forward)
        ways[:, :braked, 1] = self._rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], 3, replace=False)[:, None]
        paths = car.rollout(np.repeat(start, 3, axis=0), ways, dt, parameters)
        margin = self.MARGIN if math.hypot(*state[car.INSTANT][:2]) > self.SLOW else self.MARGIN / 8
        edge = np.maximum(np.array(self._half) - margin, np.abs(state[:2]))  # what is over it may come no further
        inside = np.all(np.abs(paths[:, :, :2]) <= edge, axis=(1, 2))
        return ways[np.argmax(inside)] if inside.any() else None
