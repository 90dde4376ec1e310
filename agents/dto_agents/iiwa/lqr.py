"""The finite-horizon linear quadratic regulator at the goal, as a function of the remaining time, and an agent of it.

Around the goal the arm is linear and its running cost quadratic, with x the deviation from the goal at rest and u that
from the torque that holds it:

    x' = A x + B u,    cost = r1 T + integral of (r2 |u|^2 + r3 |a|^2) + w |x(T)|^2,    a = the lower half of x'

For a given remaining time tau the best torque is u = -K(tau) x, and what is left to pay is r1 tau + x^T P(tau) x. With
a = A2 x + B2 u the acceleration's weight makes Q = r3 A2^T A2, S = r3 A2^T B2 and R = r2 I + r3 B2^T B2, and P solves

    dP/dtau = Q + A^T P + P A - (P B + S) R^-1 (B^T P + S^T),    P(0) = w I,    K = R^-1 (B^T P + S^T)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from dto_agents.simple import state_of
from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import JOINTS
from dto_envs.iiwa.env import ELAPSED, STATE
from dto_envs.iiwa.model import goal_state, goal_torque, holding_torque, mass_matrix

LONGEST = 4.0  # s, the largest remaining time of the table
STEP = 1e-3  # s between two entries of the table
# Torques are held for 0.01 s, and K grows without bounds as the remaining time shrinks; ours: from here on it stays.
SHORTEST = 0.05  # s
# The agent's, ours: of 0.05 to 0.8 s this reaches the most goals; smaller ones shake the wrist of an arm that is far
# from where the linear model holds, larger ones come to no end.
AGENT_SHORTEST = 0.2  # s
DIFFERENCE = 1e-5  # rad, for the derivative of gravity's torques
ENV_ID = "dto/IiwaReach-v0"
_LIMITS = np.array(constants.TORQUE_LIMITS)


@dataclass(frozen=True, eq=False)
class LinearQuadraticProblem:
    """The arm and its cost around the goal; see the module's text.

    Attributes:
        a: (14, 14) A.
        b: (14, 7) B.
        q: (14, 14) Q.
        s: (14, 7) S.
        r: (7, 7) R.
        terminal: (14, 14) P(0).
    """

    a: np.ndarray
    b: np.ndarray
    q: np.ndarray
    s: np.ndarray
    r: np.ndarray
    terminal: np.ndarray


@dataclass(frozen=True, eq=False)
class FiniteHorizonLQR:
    """K and P on a grid of remaining times; in between they are interpolated linearly.

    Attributes:
        step: s between two entries.
        values: (N + 1, 14, 14) P at remaining times 0, step, ... N step.
        gains: (N + 1, 7, 14) K at the same times.
    """

    step: float
    values: np.ndarray
    gains: np.ndarray

    @property
    def longest(self) -> float:
        """The largest remaining time, s; K and P of longer ones are those of this."""
        return self.step * (len(self.gains) - 1)

    def gain(self, remaining: np.ndarray, shortest: float = SHORTEST) -> np.ndarray:
        """K (..., 7, 14) at remaining times (...) in s, which are raised to ``shortest`` first."""
        return self._at(self.gains, np.maximum(remaining, shortest))

    def value(self, remaining: np.ndarray) -> np.ndarray:
        """P (..., 14, 14) at remaining times (...) in s."""
        return self._at(self.values, np.asarray(remaining))

    def torque(self, states: np.ndarray, remaining: np.ndarray, shortest: float = SHORTEST) -> np.ndarray:
        """The torques (..., 7) in Nm for states (..., 14) with times (...) in s remaining; not clipped."""
        deviation = states - goal_state()
        return goal_torque() - (self.gain(remaining, shortest) * deviation[..., None, :]).sum(axis=-1)

    def cost(self, states: np.ndarray, remaining: np.ndarray) -> np.ndarray:
        """What states (..., 14) have left to pay, time and miss at the end included, for remaining times (...) in s."""
        deviation = states - goal_state()
        quadratic = np.einsum("...i,...ij,...j->...", deviation, self.value(remaining), deviation)
        return constants.TIME_WEIGHT * np.asarray(remaining) + quadratic

    def best_time(self, states: np.ndarray, every: int = 10) -> np.ndarray:
        """The remaining times (B,) in s that cost states (B, 14) least, from 0.05 s on, ``every`` entries apart."""
        entries = np.arange(round(SHORTEST / self.step), len(self.values), every)
        deviation = states - goal_state()
        # One row at a time, so that a row's bits do not depend on its neighbours.
        quadratic = np.array([((self.values[entries] @ row) * row).sum(axis=1) for row in deviation])
        return self.step * entries[(constants.TIME_WEIGHT * self.step * entries + quadratic).argmin(axis=1)]

    def _at(self, table: np.ndarray, times: np.ndarray) -> np.ndarray:
        position = np.clip(times / self.step, 0, len(table) - 1)
        below = np.minimum(position.astype(int), len(table) - 2)
        share = (position - below)[..., None, None]
        return (1 - share) * table[below] + share * table[below + 1]


def linear_quadratic_problem() -> LinearQuadraticProblem:
    """The problem at the goal, with the environment's weights; derivatives of gravity by central differences."""
    goal = np.array(constants.GOAL)
    inverse = np.linalg.inv(mass_matrix(goal))
    stiffness = np.empty((JOINTS, JOINTS))
    for joint, offset in enumerate(DIFFERENCE * np.eye(JOINTS)):
        stiffness[:, joint] = (holding_torque(goal + offset) - holding_torque(goal - offset)) / (2 * DIFFERENCE)
    zero = np.zeros((JOINTS, JOINTS))
    # At rest the bias does not depend on the speeds to first order.
    acceleration = np.hstack([-inverse @ stiffness, zero])
    weight = constants.ACCELERATION_WEIGHT
    return LinearQuadraticProblem(
        a=np.vstack([np.hstack([zero, np.eye(JOINTS)]), acceleration]),
        b=np.vstack([zero, inverse]),
        q=weight * acceleration.T @ acceleration,
        s=weight * acceleration.T @ inverse,
        r=constants.TORQUE_WEIGHT * np.eye(JOINTS) + weight * inverse.T @ inverse,
        terminal=constants.TERMINAL_WEIGHT * np.eye(2 * JOINTS),
    )


def solve(problem: LinearQuadraticProblem, longest: float = LONGEST, step: float = STEP) -> FiniteHorizonLQR:
    """Solve the Riccati equation from remaining time 0 to ``longest`` s in exact steps of ``step`` s.

    A step of the linear Hamiltonian system is a matrix exponential, P = Y X^-1 its ratio, symmetrised; this neither
    drifts nor stiffens, whatever the eigenvalues.

    Raises:
        ValueError: times that are not positive, or less than one step.
    """
    if not 0 < step <= longest:
        raise ValueError(f"the table needs 0 < step <= longest, got step={step} and longest={longest}")
    size = len(problem.a)
    feedback = np.linalg.solve(problem.r, problem.s.T)
    drift = problem.a - problem.b @ feedback
    control = problem.b @ np.linalg.solve(problem.r, problem.b.T)
    rest = problem.q - problem.s @ feedback
    backwards = scipy.linalg.expm(-step * np.block([[drift, -control], [-rest, -drift.T]]))
    values = np.empty((round(longest / step) + 1, size, size))
    values[0] = problem.terminal
    for index in range(1, len(values)):
        both = backwards[:, :size] + backwards[:, size:] @ values[index - 1]
        ratio = np.linalg.solve(both[:size].T, both[size:].T).T
        values[index] = (ratio + ratio.T) / 2
    gains = np.linalg.solve(problem.r, problem.b.T @ values + problem.s.T)
    return FiniteHorizonLQR(step, values, gains)


@functools.cache
def goal_regulator() -> FiniteHorizonLQR:
    """The regulator of the benchmark's problem, solved once in a process."""
    return solve(linear_quadratic_problem())


class LqrAgent:
    """Acts as if the arm were linear, with what is left of a time that it chooses at the start.

    It knows no optimal time: at the first observation it takes the one for which the regulator expects to pay least,
    r1 tau + x^T P(tau) x, and counts down. Choosing anew at every step, or again once the time is over, reaches fewer
    goals: far from the goal the linear model misleads, and the end of the countdown never comes.
    """

    def __init__(self, env_id: str = ENV_ID) -> None:
        """A regulator for ``env_id``; raises ValueError unless that is the iiwa's reaching."""
        if env_id != ENV_ID:
            raise ValueError(f"'iiwa-lqr' acts in {ENV_ID} only, not in {env_id}")
        self._regulator = goal_regulator()
        self._arrival: np.ndarray | None = None

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin new episodes, whose times are yet to be chosen."""
        self._arrival = None

    def act(self, observations: Any) -> np.ndarray:
        """One torque per episode, (B, 7) float32 in Nm, within the arm's limits."""
        observed = state_of(observations)
        states, elapsed = observed[:, STATE], observed[:, ELAPSED]
        if self._arrival is None:
            self._arrival = elapsed + self._regulator.best_time(states)
        torques = self._regulator.torque(states, self._arrival - elapsed, AGENT_SHORTEST)
        return np.clip(torques, -_LIMITS, _LIMITS).astype(np.float32)
