"""What a plan of the RC car should be like, as costs of states and controls (Köhler et al., equations 4 to 6).

A cost is a sum of terms. Every term gives its value for a batch of trajectories and adds its partial derivatives, from
which the dynamics make the gradient with regard to the controls (:mod:`dto_envs.rc_car.adjoint`).

States are (B, n + 1, 6): x, y [m], heading [rad, not wrapped], forward and left velocity [m/s], yaw rate [rad/s].
Controls are (B, n, 2): throttle and steering, [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Term(Protocol):
    """One part of a cost."""

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """The term of every trajectory, (B,)."""
        ...

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """Add the partial derivatives to ``state_costs`` (B, n + 1, 6) and ``control_costs`` (B, n, 2)."""
        ...


@dataclass(frozen=True)
class Cost:
    """The sum of ``terms``; infinite for trajectories that are not finite."""

    terms: tuple[Term, ...]

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """The cost of every trajectory, (B,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum([term.value(states, controls) for term in self.terms], axis=0)
        return np.where(np.isfinite(total), total, np.inf)

    def partials(self, states: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Partial derivatives with regard to the states (B, n + 1, 6) and the controls (B, n, 2)."""
        state_costs, control_costs = np.zeros(states.shape), np.zeros(controls.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for term in self.terms:
                term.add_partials(states, controls, state_costs, control_costs)
        return state_costs, control_costs


@dataclass(frozen=True, eq=False)
class Targets:
    """States to be in at given steps (equation 4), each number with a weight of its own.

    Headings are compared as they stand: put the targets on the branch that the car should turn to
    (:func:`on_branch`).

    Attributes:
        steps: (K,) indices into the states, 0 to n.
        states: (K, 6) what should be reached then.
        weights: (K, 6); 0 where a number does not matter.
    """

    steps: np.ndarray
    states: np.ndarray
    weights: np.ndarray

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`Term`."""
        errors = states[:, self.steps] - self.states
        return np.einsum("bki,bki,ki->b", errors, errors, self.weights)

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`Term`."""
        for step, target, weights in zip(self.steps, self.states, self.weights, strict=True):
            state_costs[:, step] += 2 * weights * (states[:, step] - target)


@dataclass(frozen=True, eq=False)
class Controls:
    """Small controls, small changes of them (equation 5), one-sided quadratic barriers at their limits (equation 6).

    Attributes:
        magnitude: weight of the squared controls.
        change: weight of the squared changes.
        limit: weight of the squared excess over 1 in magnitude, and over ``fastest``.
        fastest: limit on the magnitude of a change; infinite for none.
        previous: (2,) the control before the first one, which the first change is measured from; None for no such.
    """

    magnitude: float = 0.01
    change: float = 0.05
    limit: float = 20.0
    fastest: float = math.inf
    previous: np.ndarray | None = None

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`Term`."""
        return self._measure(controls)[0]

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`Term`."""
        control_costs += self._measure(controls)[1]

    def _measure(self, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from dto_agents.rc_car import costs_kernel as kernel

        linked = self.previous is not None
        previous = np.zeros(2) if self.previous is None else np.asarray(self.previous, dtype=np.float64)
        limits = float(self.magnitude), float(self.change), float(self.limit), float(self.fastest)
        return kernel.steady(controls, *limits, previous, linked)


@dataclass(frozen=True, eq=False)
class Obstacles:
    """Round things to keep clear of: a one-sided quadratic barrier for every disc of the car and every obstacle.

    Attributes:
        centres: (K, 2) in m.
        clearances: (K,) least distance of a disc's centre from each, m.
        discs: places of the car's discs along its axis, from its centre, m.
        weight: weight of the squared missing distance.
    """

    centres: np.ndarray
    clearances: np.ndarray
    discs: tuple[float, ...] = (0.0,)
    weight: float = 60.0

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`Term`."""
        return self.weight * self._measure(states)[0]

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`Term`."""
        state_costs[..., :3] += self.weight * self._measure(states)[1]

    def _measure(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from dto_agents.rc_car import costs_kernel as kernel

        return kernel.keep_clear(states, self.centres, self.clearances, np.array(self.discs))


@dataclass(frozen=True, eq=False)
class Familiar:
    """Velocities that a learned model has seen: one-sided quadratic barriers, since plans exploit its errors elsewhere.

    Attributes:
        mean: (3,) of the forward, left and yaw velocities that the model learned from.
        scale: (3,) their standard deviations.
        reach: (3,) how many of these to either side count as seen.
        weight: weight of the squared excess, in standard deviations.
    """

    mean: np.ndarray
    scale: np.ndarray
    reach: tuple[float, float, float] = (2.5, 5.0, 4.0)
    weight: float = 1.0

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`Term`."""
        excess = self._beyond(states)
        return self.weight * np.einsum("bti,bti->b", excess, excess)

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`Term`."""
        state_costs[:, 1:, 3:] += 2 * self.weight * self._beyond(states) / self.scale

    def _beyond(self, states: np.ndarray) -> np.ndarray:
        standard = (states[:, 1:, 3:] - self.mean) / self.scale
        return standard - np.clip(standard, -np.array(self.reach), np.array(self.reach))


def wrap(angle: np.ndarray | float) -> np.ndarray:
    """The same angle in [-pi, pi)."""
    return (np.asarray(angle) + math.pi) % (2 * math.pi) - math.pi


def on_branch(heading: float, near: float) -> float:
    """``heading`` plus the whole turns that bring it within half a turn of ``near``, rad."""
    return near + float(wrap(heading - near))


def on_branches(headings: Sequence[float], start: float) -> np.ndarray:
    """Successive target headings, each on the branch nearest to the one before, the first nearest to ``start``."""
    found, near = [], start
    for heading in headings:
        near = on_branch(heading, near)
        found.append(near)
    return np.array(found)
