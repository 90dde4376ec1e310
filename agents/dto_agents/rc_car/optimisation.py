"""Trajectory optimisation for the RC car (Köhler et al., equations 3 to 9): the cheapest controls for given dynamics.

Two methods: the paper's gradient descent, whose every iteration tries the gradient scaled by 512 constants as one batch
(:func:`line_search`), and L-BFGS from several starts (:func:`optimise`), which reaches lower costs sooner and is the
default everywhere. Every plan says how it ended; one that diverged holds no controls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dto_agents.rc_car.costs import Cost
from dto_agents.rc_car.dynamics import Dynamics

Status = Literal["converged", "iteration limit", "diverged"]

CANDIDATES = 512
SMALLEST_SCALE, LARGEST_SCALE = 1e-6, 1.0
TOLERANCE = 1e-5  # of the cost; a network's float32 rounding is a tenth of it


class DivergedError(ArithmeticError):
    """A plan that diverged was asked for its controls; the message says how it did."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How an optimisation ended.

    Attributes:
        status: "converged" where no descent is left, "iteration limit" where there may be some, "diverged" where
            the cost is not finite or above that of the start.
        cost: of the controls found; of the last ones tried where it diverged.
        start_cost: of the controls that it began with.
        iterations: number of iterations.
        evaluations: number of trajectories that were rolled out.
        found: (n, 2) the controls, in [-1, 1], and (n + 1, 6) the states they lead to; None where it diverged.
    """

    status: Status
    cost: float
    start_cost: float
    iterations: int
    evaluations: int
    found: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def controls(self) -> np.ndarray:
        """Controls (n, 2) in [-1, 1]; raises :class:`DivergedError` where there are none."""
        return self._solution()[0]

    @property
    def states(self) -> np.ndarray:
        """Predicted states (n + 1, 6); raises :class:`DivergedError` where there are none."""
        return self._solution()[1]

    def _solution(self) -> tuple[np.ndarray, np.ndarray]:
        if self.found is None:
            raise DivergedError(
                f"the plan diverged: from a cost of {self.start_cost:.4g} it went to {self.cost:.4g} in "
                f"{self.iterations} iterations; try other starts, or ask for less"
            )
        return self.found


@dataclass(frozen=True, eq=False)
class Problem:
    """Equation 3: which car, from where, and what is wanted.

    Attributes:
        dynamics: the car.
        cost: what is wanted.
        state: (S,) where it starts, as the dynamics take it.
        past: (recorded, 2) actions before the first control, oldest first; None for zeros.
        doubt: share by which throttle, steering and the velocity at the start may each be more or less than the
            dynamics say; the cost is then the mean over these cars, which keeps plans off knife's edges. 0 for none.
    """

    dynamics: Dynamics
    cost: Cost
    state: np.ndarray
    past: np.ndarray | None = None
    doubt: float = 0.0

    def rollout(self, controls: np.ndarray) -> np.ndarray:
        """States (B, n + 1, 6) under controls (B, n, 2)."""
        return self.dynamics.rollout(self.state, controls, self._past)

    def costs(self, controls: np.ndarray) -> np.ndarray:
        """Cost of every row of controls (B, n, 2)."""
        found = [self.cost.value(self.dynamics.rollout(*cars), cars[1]) for cars in self._cars(controls)]
        return np.mean(found, axis=0)

    def cost_and_gradient(self, controls: np.ndarray) -> tuple[float, np.ndarray]:
        """Cost of one trajectory's controls (n, 2) and its gradient (n, 2); the cost may be infinite."""
        gains, speeds = self._doubted()
        batch = controls * gains[:, None]
        start = np.repeat(self.state[None], len(gains), axis=0)
        start[:, 3:9] *= speeds[:, None]
        states = self.dynamics.rollout(start, batch, self._past)
        partials = self.cost.partials(states, batch)
        gradients = self.dynamics.gradient(start, states, batch, partials, self._past)
        return float(self.cost.value(states, batch).mean()), np.mean(gradients * gains[:, None], axis=0)

    def _cars(self, controls: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Start, controls and past of a rollout for every car that is allowed for."""
        for gain, speed in zip(*self._doubted(), strict=True):
            start = self.state.copy()
            start[3:9] *= speed
            yield start, controls * gain, self._past

    def _doubted(self) -> tuple[np.ndarray, np.ndarray]:
        """Gains (K, 2) of throttle and steering, and (K,) of the velocity at the start."""
        if not self.doubt:
            return np.ones((1, 2)), np.ones(1)
        factors = np.ones((7, 3))
        for index in range(6):
            factors[1 + index, index // 2] += self.doubt * (-1) ** index
        return factors[:, :2], factors[:, 2]

    @property
    def _past(self) -> np.ndarray:
        return np.zeros((self.dynamics.recorded, 2)) if self.past is None else self.past

    def finish(
        self, status: Status, controls: np.ndarray, cost: float, start_cost: float, iterations: int, evaluations: int
    ) -> Plan:
        """The plan for ``controls`` (n, 2), clipped to their limits; diverged where it is no better than the start."""
        limited = np.clip(controls, -1.0, 1.0)
        states = self.rollout(limited[None])[0]
        failed = not (math.isfinite(cost) and np.isfinite(states).all()) or cost > start_cost
        if status == "diverged" or failed:
            return Plan("diverged", cost, start_cost, iterations, evaluations)
        return Plan(status, cost, start_cost, iterations, evaluations, (limited, states))


def line_search(
    problem: Problem,
    start: np.ndarray,
    *,
    candidates: int = CANDIDATES,
    iterations: int = 300,
    tolerance: float = TOLERANCE,
) -> Plan:
    """The paper's method: gradient descent, the step being the best of ``candidates`` scalings of the gradient.

    Args:
        problem: what to solve.
        start: (n, 2) controls to begin with.
        candidates: number of scalings, evenly spread on a logarithmic scale from 1e-6 to 1.
        iterations: most iterations.
        tolerance: it has converged when an iteration lowers the cost by less than this share.
    """
    scales = np.geomspace(SMALLEST_SCALE, LARGEST_SCALE, candidates)[:, None, None]
    controls = np.array(start, dtype=np.float64)
    start_cost = cost = float(problem.costs(controls[None])[0])
    status: Status = "iteration limit"
    done = 0
    while done < iterations:
        done += 1
        _, gradient = problem.cost_and_gradient(controls)
        if not (math.isfinite(cost) and np.isfinite(gradient).all()):
            status = "diverged"
            break
        tried = controls - scales * gradient
        costs = problem.costs(tried)
        best = int(np.argmin(costs))
        gain = cost - float(costs[best])
        if gain > 0:
            controls, cost = tried[best], float(costs[best])
        if gain <= tolerance * cost:
            status = "converged"
            break
    return problem.finish(status, controls, cost, start_cost, iterations=done, evaluations=1 + done * (candidates + 1))


def descend(problem: Problem, start: np.ndarray, *, iterations: int = 100, tolerance: float = TOLERANCE) -> Plan:
    """L-BFGS from one start; arguments as in :func:`line_search`."""
    from scipy.optimize import minimize

    shape = np.shape(start)
    best: tuple[float, np.ndarray] = (math.inf, np.array(start, dtype=np.float64))
    first: list[float] = []

    def cost_and_slopes(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        controls = flat.reshape(shape)
        cost, gradient = problem.cost_and_gradient(controls)
        first.append(cost)
        if not (math.isfinite(cost) and np.isfinite(gradient).all()):
            return _FAR, np.zeros(flat.size)
        if cost < best[0]:
            best = (cost, controls.copy())
        return cost, gradient.ravel()

    result = minimize(
        cost_and_slopes,
        best[1].ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": tolerance, "gtol": 1e-6, "maxcor": 12},
    )
    cost, controls = best
    # Status 1 is a limit; 2 is a line search that finds no descent, which float32 rounding brings about at the end.
    status: Status = "iteration limit" if result.status == 1 else "converged"
    return problem.finish(status, controls, cost, first[0], iterations=int(result.nit), evaluations=int(result.nfev))


def optimise(
    problem: Problem,
    starts: Sequence[np.ndarray] | np.ndarray,
    *,
    iterations: int = 100,
    first_iterations: int = 20,
    keep: int = 2,
    tolerance: float = TOLERANCE,
) -> Plan:
    """L-BFGS from several starts: all for a while, the best of them to the end.

    Args:
        problem: what to solve.
        starts: (S, n, 2) controls to begin with.
        iterations: most iterations of those that go on to the end.
        first_iterations: iterations after which only the best go on.
        keep: number of those that go on.
        tolerance: share of the cost by which an iteration must lower it.

    Returns:
        The cheapest plan, or the last one where all diverged. Its counts are those of all starts together.
    """
    plans = [descend(problem, start, iterations=first_iterations, tolerance=tolerance) for start in starts]
    if not plans:
        raise ValueError("an optimisation needs at least one start")
    alive = sorted((plan for plan in plans if plan.found is not None), key=lambda plan: plan.cost)
    finals = []
    for plan in alive[:keep]:
        if plan.status == "iteration limit" and iterations > first_iterations:
            longer = descend(problem, plan.controls, iterations=iterations - first_iterations, tolerance=tolerance)
            plans.append(longer)
            plan = plan if longer.found is None or longer.cost > plan.cost else longer
        finals.append(plan)
    chosen = min(finals, key=lambda plan: plan.cost) if finals else plans[-1]
    return replace(
        chosen,
        iterations=sum(plan.iterations for plan in plans),
        evaluations=sum(plan.evaluations for plan in plans),
    )


def spread_starts(problem: Problem, steps: int, count: int, *, tries: int = 192, seed: int = 0) -> np.ndarray:
    """Controls (count, steps, 2) to begin with: the cheapest of ``tries`` smooth random drives, and standing still.

    The drives go straight lines between values drawn at five moments; the same seed draws the same ones.
    """
    generator = np.random.default_rng(seed)
    knots = generator.uniform(-1.0, 1.0, (tries, 5, 2))
    places = np.linspace(0, 4, steps)
    left = np.minimum(places.astype(int), 3)
    share = (places - left)[:, None]
    drives = knots[:, left] * (1 - share) + knots[:, left + 1] * share
    order = np.argsort(problem.costs(drives), kind="stable")
    return np.concatenate([np.zeros((1, steps, 2)), drives[order[: count - 1]]])


_FAR = 1e30
