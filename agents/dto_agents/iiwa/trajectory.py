"""What the open-loop solver returns, what it starts from, and what both look like on another number of steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from dto_envs.iiwa.constants import JOINTS


class Status(str, Enum):
    """How a solve ended. Only ``CONVERGED`` comes with a trajectory."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration limit"
    DIVERGED = "diverged"
    GOAL_MISSED = "goal missed"
    OUTSIDE_JOINT_LIMITS = "start outside joint limits"
    TORQUE_LIMITS = "torque limits infeasible"


@dataclass(frozen=True, eq=False)
class Guess:
    """Where a solve begins; it need not obey the dynamics.

    Attributes:
        states: (N+1, 14) joint angles [rad] and velocities [rad/s].
        torques: (N, 7) [Nm].
    """

    states: np.ndarray
    torques: np.ndarray

    def on(self, steps: int) -> Guess:
        """The same over ``steps`` equal steps: interpolated in time relative to the duration."""
        known = len(self.torques)
        if known == steps:
            return self
        states = _interpolate(np.linspace(0, 1, steps + 1), np.linspace(0, 1, known + 1), self.states)
        # A torque holds for a whole step, so it stands for the step's middle.
        middles = (np.arange(steps) + 0.5) / steps
        return Guess(states, _interpolate(middles, (np.arange(known) + 0.5) / known, self.torques))


@dataclass(frozen=True, eq=False)
class OptimalTrajectory:
    """The answer to one free terminal time problem.

    Where ``status`` is not ``CONVERGED`` there is no trajectory: N = 0, only the start is there, costs are infinite.

    Attributes:
        status: how the solve ended.
        duration: T, the optimal time to the goal rounded to the unit step [s]; NaN where unsolved.
        times: (N+1,) multiples of the unit step [s].
        states: (N+1, 14) joint angles [rad] and velocities [rad/s], from the start.
        torques: (N, 7) torque held during each step [Nm].
        gains: (N, 7, 14) feedback of DDP's last backward pass: u = torques[k] - gains[k] (x - states[k]), optimal near
            the trajectory for the same remaining time.
        time_slopes: (N, 14) how the optimal remaining time changes with the state [s/rad and s/(rad/s)].
        cost: J, running and terminal cost over the duration.
        reaching_cost: running cost until the state is within the success radius of the goal, without terminal cost;
            what closed loops are measured against.
        gradient: dJ/dT before T was rounded.
        iterations: updates of the duration.
        ddp_iterations: iterations of DDP in all solves together.
        message: what went wrong, with numbers; empty where solved.
    """

    status: Status
    duration: float
    times: np.ndarray
    states: np.ndarray
    torques: np.ndarray
    gains: np.ndarray
    time_slopes: np.ndarray
    cost: float
    reaching_cost: float
    gradient: float
    iterations: int
    ddp_iterations: int
    message: str = ""

    @property
    def solved(self) -> bool:
        """Whether there is an optimal trajectory."""
        return self.status is Status.CONVERGED

    @property
    def free_gains(self) -> np.ndarray:
        """(N, 7, 14) as ``gains``, where the remaining time may change with the state too.

        A torque u(x, tau) that is followed along a trajectory changes at the rate -K f - du/dtau, f the rate of the
        state, which gives du/dtau; the total slope is then -K + du/dtau (d tau / dx).
        """
        if len(self.torques) < 2:
            return self.gains
        step = self.times[1]
        rates = np.diff(self.states, axis=0) / step
        changes = np.gradient(self.torques, step, axis=0)
        in_time = -changes - np.einsum("kij,kj->ki", self.gains, rates)
        return self.gains - in_time[:, :, None] * self.time_slopes[:, None, :]

    @property
    def guess(self) -> Guess:
        """The trajectory as the beginning of another solve."""
        return Guess(self.states, self.torques)

    def remaining(self, step: int) -> Guess:
        """What is left of the trajectory from ``step`` on, as the beginning of another solve."""
        step = min(step, len(self.torques) - 1)
        return Guess(self.states[step:], self.torques[step:])


def unsolved(
    status: Status, start: np.ndarray, message: str, *, iterations: int = 0, ddp_iterations: int = 0
) -> OptimalTrajectory:
    """The answer where there is none: the status, and no trajectory beyond the start (14,)."""
    return OptimalTrajectory(
        status=status,
        duration=float("nan"),
        times=np.zeros(1),
        states=np.asarray(start, dtype=float)[None],
        torques=np.zeros((0, JOINTS)),
        gains=np.zeros((0, JOINTS, 2 * JOINTS)),
        time_slopes=np.zeros((0, 2 * JOINTS)),
        cost=float("inf"),
        reaching_cost=float("inf"),
        gradient=float("nan"),
        iterations=iterations,
        ddp_iterations=ddp_iterations,
        message=message,
    )


def _interpolate(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(wanted, known, column) for column in values.T], axis=1)
