"""Many closed loops at once: one controller for all of them, MuJoCo stepping them in threads.

Bit for bit what the environment does with the same torques, at a fraction of its overhead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco import rollout

from dto_envs.iiwa.constants import CONTROL_PERIOD, JOINTS, SUBSTEPS, SUCCESS_RADIUS, TORQUE_LIMITS
from dto_envs.iiwa.dynamics import goal_distance, step_cost, too_fast
from dto_envs.iiwa.model import check_start, check_torque_limits, mujoco_model

Controller = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ClosedLoops:
    """How B closed loops went; row ``b`` began at start ``b``.

    Attributes:
        success: (B,) bool, whether the goal was reached.
        cost: (B,) running cost up to the goal, or over all the time where it was not reached.
        time: (B,) s until the goal was reached, NaN where it was not.
        distance: (B,) distance of the last state from the goal.
        braked: (B,) bool, whether the brakes locked.
        steps: (B,) control steps taken, fewer than asked for where the goal was reached.
        states: (B, steps + 1, 14), NaN after the end of a loop; None unless recorded.
        torques: (B, steps, 7) as commanded, NaN after the end of a loop; None unless recorded.
    """

    success: np.ndarray
    cost: np.ndarray
    time: np.ndarray
    distance: np.ndarray
    braked: np.ndarray
    steps: np.ndarray
    states: np.ndarray | None = None
    torques: np.ndarray | None = None


def simulate(
    starts: np.ndarray,
    controller: Controller,
    steps: int,
    *,
    torque_limits: tuple[float, ...] = TORQUE_LIMITS,
    threads: int | None = None,
    record: bool = False,
) -> ClosedLoops:
    """Run closed loops until each reaches the goal or ``steps`` control steps have passed.

    Args:
        starts: (B, 14) states to begin at, or (B, 7) angles at rest.
        controller: maps states (B, 14) and the time since the start (B,) in s to torques (B, 7) in Nm, every 0.01 s.
            Rows are always those of ``starts``; a loop that is over keeps its last state, and what is said about it is
            ignored. Torques are clipped as the environment clips them.
        steps: control steps at most.
        torque_limits: (7,) Nm.
        threads: threads that step MuJoCo; None for one per processor.
        record: keep states and torques.

    Raises:
        ValueError: starts or torques of the wrong shape or not finite;
            :class:`~dto_envs.iiwa.model.InfeasibleStartError` for starts outside the joint limits and limits that
            cannot hold the goal.
    """
    check_torque_limits(np.array(torque_limits))
    loops = _Loops(_checked_starts(starts), np.array(torque_limits), steps if record else None)
    threads = threads or os.cpu_count() or 1
    scratch = [mujoco.MjData(mujoco_model()) for _ in range(threads)]
    with rollout.Rollout(nthread=threads if threads > 1 else 0) as pool:
        for step in range(steps):
            running = np.flatnonzero(loops.running)
            if not len(running):
                break
            elapsed = np.full(len(loops.states), step * CONTROL_PERIOD)
            torques = _checked_torques(controller(loops.states.copy(), elapsed), len(elapsed), running)
            loops.advance(running, torques[running], pool, scratch)
    return loops.result()


class _Loops:
    """The loops while they run."""

    def __init__(self, starts: np.ndarray, limits: np.ndarray, recorded_steps: int | None) -> None:
        count = len(starts)
        self.states = starts
        self.limits = limits
        self.distance = goal_distance(starts)
        self.success = self.distance < SUCCESS_RADIUS
        self.braked = np.zeros(count, dtype=bool)
        self.cost = np.zeros(count)
        self.steps = np.zeros(count, dtype=int)
        self.running = ~self.success
        self.history: tuple[np.ndarray, np.ndarray] | None = None
        if recorded_steps is not None:
            self.history = (
                np.full((count, recorded_steps + 1, 2 * JOINTS), np.nan),
                np.full((count, recorded_steps, JOINTS), np.nan),
            )
            self.history[0][:, 0] = starts

    def advance(self, rows: np.ndarray, commanded: np.ndarray, pool: rollout.Rollout, scratch: list) -> None:
        """One control step of the loops ``rows`` under torques (R, 7)."""
        torques = np.clip(commanded, -self.limits, self.limits)
        speeds = np.repeat(self.states[rows, None, JOINTS:], SUBSTEPS + 1, axis=1)
        free = ~self.braked[rows]
        moving = rows[free]
        if len(moving):
            path = _roll(self.states[moving], torques[free], pool, scratch)
            self.braked[moving] = _lock_brakes(path)
            speeds[free, 1:] = path[:, :, JOINTS:]
            after = path[:, -1].copy()
            after[self.braked[moving], JOINTS:] = 0.0
            self.states[moving] = after
        self.cost[rows] += step_cost(torques, speeds)
        self.distance[rows] = goal_distance(self.states[rows])
        self.success[rows] = (self.distance[rows] < SUCCESS_RADIUS) & ~self.braked[rows]
        if self.history is not None:
            self.history[1][rows, self.steps[rows]] = commanded
            self.history[0][rows, self.steps[rows] + 1] = self.states[rows]
        self.steps[rows] += 1
        self.running = ~self.success

    def result(self) -> ClosedLoops:
        time = np.where(self.success, self.steps * CONTROL_PERIOD, np.nan)
        states, torques = self.history or (None, None)
        return ClosedLoops(self.success, self.cost, time, self.distance, self.braked, self.steps, states, torques)


def _roll(states: np.ndarray, torques: np.ndarray, pool: rollout.Rollout, scratch: list) -> np.ndarray:
    """Simulate one control step: states (R, 14) under torques (R, 7) to the states after each substep (R, S, 14)."""
    initial = np.concatenate([np.zeros((len(states), 1)), states], axis=1)
    held = np.repeat(torques[:, None], SUBSTEPS, axis=1)
    path = np.asarray(pool.rollout(mujoco_model(), scratch, initial, held)[0])
    return path[:, :, 1:]


def _lock_brakes(path: np.ndarray) -> np.ndarray:
    """Which rows (R,) of ``path`` (R, S, 14) turn too fast at any substep; from then on they keep that state."""
    fast = too_fast(path[:, :, JOINTS:])
    locked = fast.any(axis=1)
    for row in np.flatnonzero(locked):
        first = int(fast[row].argmax())
        path[row, first:] = path[row, first]
    return locked


def _checked_starts(starts: np.ndarray) -> np.ndarray:
    states = np.array(starts, dtype=np.float64)
    if states.ndim != 2 or states.shape[1] not in (JOINTS, 2 * JOINTS) or not np.isfinite(states).all():
        raise ValueError(f"starts are finite numbers (B, 7) or (B, 14), got {states.shape}")
    if states.shape[1] == JOINTS:
        states = np.concatenate([states, np.zeros_like(states)], axis=1)
    for state in states:
        check_start(state[:JOINTS])
    return states


def _checked_torques(torques: np.ndarray, count: int, running: np.ndarray) -> np.ndarray:
    torques = np.asarray(torques, dtype=np.float64)
    if torques.shape != (count, JOINTS):
        raise ValueError(f"the controller returned torques of shape {torques.shape}, expected {(count, JOINTS)}")
    if not np.isfinite(torques[running]).all():
        bad = running[~np.isfinite(torques[running]).all(axis=1)]
        raise ValueError(f"the controller returned torques that are not finite for starts {bad.tolist()[:5]}")
    return torques
