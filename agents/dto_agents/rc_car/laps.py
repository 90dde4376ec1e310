"""Laps of a track on the analytic car, replanned at any rate (Köhler et al., section V-B)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from dto_agents.rc_car.driving_agents import RaceDriver, Racing, observed_state
from dto_agents.rc_car.dynamics import Dynamics
from dto_envs.layouts import RC_CAR_LAYOUT
from dto_envs.rc_car import car
from dto_envs.rc_car.tracks import Track

BEHIND = 0.3  # m from the start line back to where the car waits
LONGEST_LAP = 40.0  # s, after which a car is taken for stuck


@dataclass(frozen=True, eq=False)
class Laps:
    """What happened.

    Attributes:
        states: (n + 1, S) of the car at every tick.
        controls: (n, 2).
        lap_times: s, of every lap, start line to start line; the first is from a standing start.
        wall: (n,) s that each tick's planning took.
        cpu: (n,) s of this thread's computing in it.
        offsets: (n + 1,) m from the centre line.
        slip: (n + 1,) rad, see :func:`dto_envs.rc_car.car.slip_angle`.
        excursions: how often the car's centre left the track.
        diverged: number of ticks whose plan diverged.
    """

    states: np.ndarray
    controls: np.ndarray
    lap_times: tuple[float, ...]
    wall: np.ndarray
    cpu: np.ndarray
    offsets: np.ndarray
    slip: np.ndarray
    excursions: int
    diverged: int

    def misses(self, deadline: float, clock: str = "cpu") -> float:
        """Share of the ticks after the first whose planning took longer than ``deadline`` s by the clock named."""
        return float(np.mean(getattr(self, clock)[1:] > deadline))


def drive_laps(dynamics: Dynamics, track: Track, racing: Racing, *, rate: float, laps: int) -> Laps:
    """Race the analytic car, replanning ``rate`` times a second.

    Plans are made of the dynamics' own steps whatever the rate; a tick executes the beginning of one. The velocity that
    the dynamics see is the displacement over the last of their steps, as in their training, and the past actions are
    those in the middle of such steps. The rate limit on throttle and steering is kept.

    Args:
        dynamics: the model to plan with, of the six numbers that are observed.
        track: where to race.
        racing: how to plan.
        rate: Hz.
        laps: number of laps; it stops before where the car needs longer than 40 s for one.
    """
    tick, step = 1 / rate, dynamics.dt
    driver = RaceDriver(dynamics, observed_state, racing)
    bound = RC_CAR_LAYOUT.bound * tick / RC_CAR_LAYOUT.dt
    pose = track.poses(np.array([-BEHIND]))
    states, controls = [car.initial_state(pose, np.zeros((1, 3)), dt=tick)[0]], [np.zeros(2)]
    spent: list[tuple[float, float]] = []
    crossed: list[float] = []
    way = -BEHIND
    while len(crossed) <= laps and len(spent) * tick < LONGEST_LAP * (len(crossed) + 1):
        past = np.array([_ago(controls, (back - 0.5) * step / tick) for back in range(dynamics.recorded, 0, -1)])
        start = time.perf_counter(), time.thread_time()
        plan = driver.plan(track, _seen(states, step / tick, step), past.reshape(-1, 2), controls[-1])
        spent.append((time.perf_counter() - start[0], time.thread_time() - start[1]))
        driver.shift(plan, tick / step)
        controls.append(controls[-1] + np.clip(plan[0] - controls[-1], -bound, bound))
        states.append(car.rollout(states[-1][None], controls[-1][None, None], tick)[0, 1])
        before = track.project(np.array([states[-2][:2], states[-1][:2]]))[:, 0]
        covered = float(track.ahead(before[1], before[0]))
        way += covered
        if way >= len(crossed) * track.length:
            beyond = (way - len(crossed) * track.length) / max(covered, 1e-9)
            crossed.append((len(spent) - beyond) * tick)
    found = np.array(states)
    offsets = np.abs(track.project(found[:, :2])[:, 1])
    outside = offsets > track.width / 2
    return Laps(
        states=found,
        controls=np.array(controls[1:]),
        lap_times=tuple(np.diff(crossed).tolist()),
        wall=np.array(spent)[:, 0],
        cpu=np.array(spent)[:, 1],
        offsets=offsets,
        slip=car.slip_angle(found[:, car.INSTANT]),
        excursions=int(np.sum(outside[1:] & ~outside[:-1])),
        diverged=driver.diverged,
    )


def _seen(states: list[np.ndarray], ticks: float, step: float) -> np.ndarray:
    """The six numbers (6,) that dynamics with steps of ``step`` s, ``ticks`` ticks, would have been shown."""
    if len(states) <= ticks:
        return states[-1][:6]
    whole = int(ticks)
    late, early = states[-1 - whole][:3], states[-1 - min(whole + 1, len(states) - 1)][:3]
    before = late + (ticks - whole) * (early - late)
    moved = (states[-1][:3] - before) / step
    cos, sin = np.cos(before[2]), np.sin(before[2])
    velocity = [cos * moved[0] + sin * moved[1], cos * moved[1] - sin * moved[0], moved[2]]
    return np.concatenate([states[-1][:3], velocity])


def _ago(controls: list[np.ndarray], ticks: float) -> np.ndarray:
    """The control (2,) that held ``ticks`` ticks ago, zeros before the start."""
    index = len(controls) - 1 - int(ticks)
    return controls[index] if index >= 0 else np.zeros(2)
