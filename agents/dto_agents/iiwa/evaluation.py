"""Closed loops over held-out starts: success, and cost against the optimum (the paper's Section IV-A)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_envs.iiwa.batch import Controller, simulate
from dto_envs.iiwa.constants import CONTROL_PERIOD

FAILURE_RATIO = 10.0  # the paper's caps: of loops that never reach the goal,
SUCCESS_RATIO = 5.0  # and of those that do at too high a cost
SPAN = 2.0  # loops run for this many times the longest optimal duration


@dataclass(frozen=True, eq=False)
class Performance:
    """How a controller did on B starts.

    Attributes:
        success: (B,) bool.
        ratios: (B,) cost over the optimum's, capped at 10 where the goal was missed and at 5 elsewhere.
    """

    success: np.ndarray
    ratios: np.ndarray

    @property
    def success_rate(self) -> float:
        """Share of starts from which the goal was reached."""
        return float(self.success.mean())

    @property
    def cost_ratio(self) -> float:
        """Mean of the capped ratios."""
        return float(self.ratios.mean())


def evaluate(controller: Controller, optima: Sequence[OptimalTrajectory], threads: int | None = None) -> Performance:
    """Run ``controller`` from the start of every optimum, and compare costs.

    Args:
        controller: states (B, 14) and times (B,) to torques (B, 7), as :func:`dto_envs.iiwa.batch.simulate` wants it.
        optima: solved trajectories.
        threads: of the simulation.
    """
    starts = np.stack([each.states[0] for each in optima])
    steps = round(SPAN * max(each.duration for each in optima) / CONTROL_PERIOD)
    loops = simulate(starts, controller, steps, threads=threads)
    ratios = loops.cost / np.array([each.reaching_cost for each in optima])
    capped = np.where(loops.success, np.minimum(ratios, SUCCESS_RATIO), FAILURE_RATIO)
    return Performance(loops.success, capped)


def feedback_of(torques: Callable[[np.ndarray], np.ndarray]) -> Controller:
    """A controller that does not look at the time."""
    return lambda states, times: torques(states)


def replay(optima: Sequence[OptimalTrajectory], *, feedback: bool) -> Controller:
    """A controller that replays one optimum per row, open loop or with DDP's time-varying gains.

    After its end a replay goes on with the goal's LQR where it has feedback, and holds the goal's torque otherwise.
    """
    from dto_agents.iiwa.lqr import goal_regulator
    from dto_envs.iiwa.model import goal_torque

    def controller(states: np.ndarray, times: np.ndarray) -> np.ndarray:
        torques = np.tile(goal_torque(), (len(states), 1))
        if feedback:
            torques = goal_regulator().torque(states, np.zeros(len(states)))
        for row, (optimum, time) in enumerate(zip(optima, times, strict=True)):
            step = round(time / CONTROL_PERIOD)
            if step < len(optimum.torques):
                torques[row] = optimum.torques[step]
                if feedback:
                    torques[row] -= optimum.gains[step] @ (states[row] - optimum.states[step])
        return torques

    return controller
