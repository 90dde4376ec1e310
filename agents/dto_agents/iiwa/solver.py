"""Open-loop optimal control with free terminal time: DDP for a fixed duration inside a search over the duration.

The search is the paper's (Section III-A, Algorithm 1): gradient steps while dJ/dT is large, then a quasi-Newton method
(in one dimension, the secant), each update at most a fraction of the duration; when dJ/dT is small the duration is
rounded to the unit step and the problem solved once more on unit steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dto_agents.iiwa.marching import march
from dto_agents.iiwa.problem import ReachingProblem, Transcription, Workshop, solver_packages, time_slopes
from dto_agents.iiwa.trajectory import Guess, OptimalTrajectory, Status, unsolved
from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import JOINTS


@dataclass(frozen=True)
class SolverOptions:
    """How the solver goes about it.

    Attributes:
        steps: number of steps during the search over the duration.
        marching: numbers of steps, each fewer than ``steps``, on which every problem is solved first, in turn.
        guess: ``hold`` begins with the arm held at rest at the start; ``zero`` with zero states and torques.
        unit_step: step of the returned trajectory [s]: the environment's control period.
        first_duration: where the search begins [s]; the paper's Table II.
        largest_update: largest change of the duration in one update, as a fraction of it.
        gradient_step: s^2 per unit of cost: a gradient step changes T by gradient_step * dJ/dT / r1.
        newton_below: the secant takes over where |dJ/dT| is below this many r1.
        tolerance: the search ends where |dJ/dT| is below this many r1.
        duration_updates: most updates of the duration.
        ddp_stop: DDP's stopping criterion. At 1e-6 dJ/dT is too noisy for the search.
        ddp_iterations: most iterations of DDP in one solve.
    """

    steps: int = 100
    marching: tuple[int, ...] = ()
    guess: str = "hold"
    unit_step: float = constants.CONTROL_PERIOD
    first_duration: float = 1.2
    largest_update: float = 0.25
    gradient_step: float = 0.1
    newton_below: float = 1.0
    tolerance: float = 0.01
    duration_updates: int = 30
    ddp_stop: float = 1e-9
    ddp_iterations: int = 200

    def __post_init__(self) -> None:
        """Check what cannot be checked by type."""
        if self.guess not in ("hold", "zero"):
            raise ValueError(f"the guess is 'hold' or 'zero', not {self.guess!r}")
        counts = (*self.marching, self.steps)
        if min(counts) < 2 or any(a >= b for a, b in zip(counts, counts[1:], strict=False)):
            raise ValueError(f"the numbers of steps must rise from 2 or more to {self.steps}, not {counts}")


@dataclass(frozen=True, eq=False)
class FixedSolution:
    """DDP's answer for one duration.

    Attributes:
        converged: whether DDP met its stopping criterion.
        duration: T [s].
        guess: the states and torques it ended with, on the transcription's steps.
        gains: (N, 7, 14).
        time_slopes: (N, 14) of :func:`dto_agents.iiwa.problem.time_slopes`; empty unless asked for.
        cost: J.
        gradient: dJ/dT.
        ddp_iterations: iterations spent, on all numbers of steps.
    """

    converged: bool
    duration: float
    guess: Guess
    gains: np.ndarray
    time_slopes: np.ndarray
    cost: float
    gradient: float
    ddp_iterations: int


class OpenLoopSolver:
    """Solves reaching problems one after another; builds Crocoddyl's models once and reuses them.

    Example::

        solver = OpenLoopSolver()
        best = solver.solve(np.concatenate([start_angles, np.zeros(7)]))
        if best.solved:
            print(best.duration, best.torques.shape)
    """

    def __init__(self, problem: ReachingProblem | None = None, options: SolverOptions | None = None) -> None:
        """Prepare to solve ``problem`` (the environment's own by default)."""
        self.problem = problem or ReachingProblem()
        self.options = options or SolverOptions()
        self._workshop = Workshop(self.problem)

    def solve(
        self, start: np.ndarray, *, guess: Guess | None = None, first_duration: float | None = None
    ) -> OptimalTrajectory:
        """The optimal trajectory from ``start``, with its duration.

        Args:
            start: (14,) joint angles [rad] and velocities [rad/s].
            guess: where to begin, such as an old trajectory; the options' guess by default.
            first_duration: duration to begin with [s]; the options' by default.

        Returns:
            The trajectory, or a status that says why there is none.

        Raises:
            ValueError: ``start`` is not 14 finite numbers.
        """
        start = np.asarray(start, dtype=float)
        if start.shape != (2 * JOINTS,) or not np.isfinite(start).all():
            raise ValueError(f"a start is {2 * JOINTS} finite numbers, angles and velocities, not {start}")
        refusal = self._refuse(start)
        if refusal is not None:
            return refusal
        found, updates, spent = self._search(start, guess or self.first_guess(start), first_duration)
        if found.converged and abs(found.gradient) <= self.options.tolerance * self.problem.time_weight:
            steps = max(1, round(found.duration / self.options.unit_step))
            final = self.solve_fixed(start, steps * self.options.unit_step, found.guess, counts=(steps,), slopes=True)
            return self._answer(start, final, found.gradient, updates, spent + final.ddp_iterations)
        return self._explain(start, found, updates, spent)

    def first_guess(self, start: np.ndarray) -> Guess:
        """The options' guess for a start (14,)."""
        steps = self.options.steps
        if self.options.guess == "zero":
            return Guess(np.zeros((steps + 1, 2 * JOINTS)), np.zeros((steps, JOINTS)))
        rest = np.concatenate([start[:JOINTS], np.zeros(JOINTS)])
        return Guess(np.tile(rest, (steps + 1, 1)), np.tile(self.problem.holding_torque(start[:JOINTS]), (steps, 1)))

    def solve_fixed(
        self,
        start: np.ndarray,
        duration: float,
        guess: Guess,
        *,
        counts: tuple[int, ...] | None = None,
        slopes: bool = False,
    ) -> FixedSolution:
        """Solve for a fixed duration.

        Args:
            start: (14,).
            duration: T [s].
            guess: where to begin, on any number of steps.
            counts: numbers of steps to solve on in turn; by default the options' marching, then their steps.
            slopes: whether to work out how the optimal time changes with the state.
        """
        counts = counts or (*self.options.marching, self.options.steps)
        return march(lambda steps, begin: self._ddp(start, duration, steps, begin, slopes), counts, guess)

    def _ddp(self, start: np.ndarray, duration: float, steps: int, guess: Guess, slopes: bool) -> FixedSolution:
        crocoddyl, _ = solver_packages()
        transcription = Transcription(self._workshop, start, duration, steps)
        guess = guess.on(steps)
        ddp = crocoddyl.SolverDDP(transcription.shooting)
        ddp.th_stop = self.options.ddp_stop
        states = [start, *guess.states[1:]]
        # A guess that was not rolled out leaves gaps between its steps, which DDP closes.
        converged = bool(ddp.solve(states, list(guess.torques), self.options.ddp_iterations, False))
        reached = Guess(np.array(ddp.xs), np.array(ddp.us))
        finite = bool(np.isfinite(reached.states).all() and np.isfinite(reached.torques).all())
        if not finite or not ddp.isFeasible:
            converged = False
        gradient, time_slope = math.nan, np.zeros((0, 2 * JOINTS))
        if converged:
            transcription.shooting.calc(ddp.xs, ddp.us)
            transcription.shooting.calcDiff(ddp.xs, ddp.us)
            gradient = transcription.duration_gradient()
            time_slope = time_slopes(transcription, ddp) if slopes else time_slope
        return FixedSolution(
            converged=converged,
            duration=duration,
            guess=reached,
            gains=np.array(ddp.K),
            time_slopes=time_slope,
            cost=transcription.cost(ddp.cost) if finite else math.inf,
            gradient=gradient,
            ddp_iterations=ddp.iter + 1,
        )

    def _search(self, start: np.ndarray, guess: Guess, first_duration: float | None) -> tuple[FixedSolution, int, int]:
        options, weight = self.options, self.problem.time_weight
        duration = options.first_duration if first_duration is None else first_duration
        current = self.solve_fixed(start, duration, guess)
        previous, spent = None, current.ddp_iterations
        for update in range(options.duration_updates):
            if not current.converged or abs(current.gradient) <= options.tolerance * weight:
                return current, update, spent
            duration = current.duration + self._update(current, previous)
            previous, current = current, self.solve_fixed(start, duration, current.guess)
            spent += current.ddp_iterations
        return current, options.duration_updates, spent

    def _update(self, current: FixedSolution, previous: FixedSolution | None) -> float:
        options, weight = self.options, self.problem.time_weight
        change = -options.gradient_step * current.gradient / weight
        if previous is not None and abs(current.gradient) < options.newton_below * weight:
            slope = (current.gradient - previous.gradient) / (current.duration - previous.duration)
            if slope > 0:
                change = -current.gradient / slope
        largest = options.largest_update * current.duration
        return float(np.clip(change, -largest, largest))

    def _refuse(self, start: np.ndarray) -> OptimalTrajectory | None:
        problem, angles = self.problem, start[:JOINTS]
        outside = np.flatnonzero((angles < problem.lower) | (angles > problem.upper))
        if outside.size:
            joint = int(outside[0])
            limits = f"[{problem.lower[joint]:.3f}, {problem.upper[joint]:.3f}]"
            text = f"joint {joint + 1} starts at {angles[joint]:.3f} rad, its limits are {limits}"
            return unsolved(Status.OUTSIDE_JOINT_LIMITS, start, text)
        for place, torque in (("start", problem.holding_torque(angles)), ("goal", problem.goal_torque)):
            excess = self._excess(torque[None])
            if excess:
                return unsolved(Status.TORQUE_LIMITS, start, f"holding the {place} takes {excess}")
        return None

    def _excess(self, torques: np.ndarray) -> str:
        """``40.2 Nm at joint 3, whose limit is 30 Nm``, or nothing."""
        largest, limits = np.abs(torques).max(axis=0), self.problem.torque_limits
        beyond = np.flatnonzero(~(largest <= limits))
        if not beyond.size:
            return ""
        joint = int(beyond[0])
        return f"{largest[joint]:.4g} Nm at joint {joint + 1}, whose limit is {limits[joint]:.4g} Nm"

    def _answer(
        self, start: np.ndarray, final: FixedSolution, gradient: float, updates: int, spent: int
    ) -> OptimalTrajectory:
        distance = float(np.linalg.norm(final.guess.states[-1] - self.problem.goal_state))
        if not final.converged or distance > constants.SUCCESS_RADIUS:
            return self._explain(start, final, updates, spent)
        excess = self._excess(final.guess.torques)
        if excess:
            text = f"the optimum takes {excess}"
            return unsolved(Status.TORQUE_LIMITS, start, text, iterations=updates, ddp_iterations=spent)
        steps = len(final.guess.torques)
        return OptimalTrajectory(
            status=Status.CONVERGED,
            duration=final.duration,
            times=np.arange(steps + 1) * self.options.unit_step,
            states=final.guess.states,
            torques=final.guess.torques,
            gains=final.gains,
            time_slopes=final.time_slopes,
            cost=final.cost,
            reaching_cost=reaching_cost(self.problem, final.guess.states, final.guess.torques, self.options.unit_step),
            gradient=gradient,
            iterations=updates,
            ddp_iterations=spent,
        )

    def _explain(self, start: np.ndarray, found: FixedSolution, updates: int, spent: int) -> OptimalTrajectory:
        distance = float(np.linalg.norm(found.guess.states[-1] - self.problem.goal_state))
        where = f"T = {found.duration:.3f} s"
        if not math.isfinite(found.cost):
            status, text = Status.DIVERGED, f"DDP left the finite numbers at {where}"
        elif not found.converged and not distance <= constants.SUCCESS_RADIUS:
            status, text = Status.DIVERGED, f"DDP stopped {distance:.3g} from the goal at {where}"
        elif not found.converged:
            status, text = Status.ITERATION_LIMIT, f"DDP did not converge at {where}"
        elif distance > constants.SUCCESS_RADIUS:
            status, text = Status.GOAL_MISSED, f"the best trajectory of {where} ends {distance:.3g} from the goal"
        else:
            status = Status.ITERATION_LIMIT
            text = f"after {updates} updates of the duration dJ/dT is still {found.gradient:.3g} at {where}"
        return unsolved(status, start, text, iterations=updates, ddp_iterations=spent)


def reaching_cost(problem: ReachingProblem, states: np.ndarray, torques: np.ndarray, step: float) -> float:
    """Running cost until the state is first within the success radius of the goal; infinite where it never is.

    Args:
        problem: gives the cost.
        states: (N+1, 14).
        torques: (N, 7) held during each step [Nm].
        step: length of a step [s].
    """
    inside = np.flatnonzero(np.linalg.norm(states - problem.goal_state, axis=1) < constants.SUCCESS_RADIUS)
    if not inside.size:
        return math.inf
    until = int(inside[0])
    accelerations = problem.accelerations(states[:until], torques[:until])
    return float(np.sum(problem.running_cost(torques[:until], accelerations)) * step)
