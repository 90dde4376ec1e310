"""The reaching problem as Crocoddyl sees it: N Euler steps of equal length, from a start to the goal.

Minimised over the torques u and, in :mod:`dto_agents.iiwa.solver`, over the duration T:

    J(T) = h * sum_k [r1 + r2 |u_k - u1|^2 + r3 |a_k|^2] + w |x_N - x1|^2,   h = T / N

with the acceleration a = forward_dynamics(q, v, u), the goal x1 = (q1, 0) and the torque u1 that holds it. One step is
v' = v + h a, q' = q + h v'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import JOINTS
from dto_envs.iiwa.model import pinocchio_model
from dto_envs.registry import require


def solver_packages() -> tuple[Any, Any]:
    """The modules ``crocoddyl`` and ``pinocchio``, imported when first needed.

    Raises:
        dto_envs.registry.MissingExtraError: they are not installed.
    """
    require("iiwa", "crocoddyl", "pinocchio")
    import crocoddyl
    import pinocchio

    return crocoddyl, pinocchio


@dataclass(frozen=True, eq=False)
class ReachingProblem:
    """What is minimised and within which limits; everything but the start and the duration.

    Attributes:
        goal: (7,) joint angles where the arm shall come to rest [rad].
        time_weight: r1, cost per second.
        torque_weight: r2, cost per second and (Nm)^2 away from the torque that holds the goal.
        acceleration_weight: r3, cost per second and (rad/s^2)^2.
        terminal_weight: w, cost per squared distance of the last state from the goal.
        lower: (7,) lowest joint angles [rad].
        upper: (7,) highest joint angles [rad].
        torque_limits: (7,) largest torques either way [Nm].
    """

    goal: np.ndarray = field(default_factory=lambda: np.array(constants.GOAL))
    time_weight: float = constants.TIME_WEIGHT
    torque_weight: float = constants.TORQUE_WEIGHT
    acceleration_weight: float = constants.ACCELERATION_WEIGHT
    terminal_weight: float = constants.TERMINAL_WEIGHT
    lower: np.ndarray = field(default_factory=lambda: np.array(constants.JOINT_LOWER))
    upper: np.ndarray = field(default_factory=lambda: np.array(constants.JOINT_UPPER))
    torque_limits: np.ndarray = field(default_factory=lambda: np.array(constants.TORQUE_LIMITS))

    @cached_property
    def model(self) -> Any:
        """The arm as a ``pinocchio.Model``."""
        return pinocchio_model()

    @cached_property
    def goal_state(self) -> np.ndarray:
        """x1 (14,): the goal at rest."""
        return np.concatenate([self.goal, np.zeros(JOINTS)])

    @cached_property
    def goal_torque(self) -> np.ndarray:
        """u1 (7,): the torque that holds the goal [Nm]."""
        return self.holding_torque(self.goal)

    def holding_torque(self, angles: np.ndarray) -> np.ndarray:
        """Torque (7,) [Nm] that holds the arm at rest at ``angles`` (7,) [rad]."""
        _, pinocchio = solver_packages()
        return pinocchio.computeGeneralizedGravity(self.model, self.model.createData(), np.asarray(angles, float))

    def accelerations(self, states: np.ndarray, torques: np.ndarray) -> np.ndarray:
        """Joint accelerations (N, 7) [rad/s^2] of ``states`` (N, 14) under ``torques`` (N, 7) [Nm]."""
        _, pinocchio = solver_packages()
        data = self.model.createData()
        rows = [
            pinocchio.aba(self.model, data, x[:JOINTS], x[JOINTS:], u).copy()
            for x, u in zip(states, torques, strict=True)
        ]
        return np.array(rows).reshape(-1, JOINTS)

    def running_cost(self, torques: np.ndarray, accelerations: np.ndarray) -> np.ndarray:
        """Cost per second (N,) of torques (N, 7) [Nm] and accelerations (N, 7) [rad/s^2]."""
        effort = np.sum((torques - self.goal_torque) ** 2, axis=-1)
        motion = np.sum(accelerations**2, axis=-1)
        return self.time_weight + self.torque_weight * effort + self.acceleration_weight * motion


class Workshop:
    """Crocoddyl's models of a step and of the end, and their working memory, shared by transcriptions in turn.

    Memory is what costs time and space here: about 50 kB a step.
    """

    def __init__(self, problem: ReachingProblem) -> None:
        """Build the models of ``problem``."""
        self.problem = problem
        self.step = _action_model(problem, 1.0)
        self.terminal = _terminal_model(problem)
        self._terminal_data = self.terminal.createData()
        self._step_data: list[Any] = []

    def shooting(self, steps: int) -> Any:
        """A ``crocoddyl.ShootingProblem`` of ``steps`` steps, in the memory that all others use too."""
        crocoddyl, _ = solver_packages()
        while len(self._step_data) < steps:
            self._step_data.append(self.step.createData())
        models, data = [self.step] * steps, self._step_data[:steps]
        return crocoddyl.ShootingProblem(self.problem.goal_state, models, self.terminal, data, self._terminal_data)


class Transcription:
    """A reaching problem on a fixed number of steps, ready for Crocoddyl.

    Attributes:
        steps: number of steps N.
        duration: T [s].
        shooting: the ``crocoddyl.ShootingProblem``. Its costs leave out r1, which does not depend on the torques.
    """

    def __init__(self, workshop: Workshop, start: np.ndarray, duration: float, steps: int) -> None:
        """Transcribe the workshop's problem; the previous transcription of the same workshop is no longer valid.

        Args:
            workshop: gives models and memory.
            start: (14,) first state.
            duration: T [s].
            steps: N.

        Raises:
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"a trajectory needs at least 1 step, not {steps}")
        self.problem = workshop.problem
        self.steps = steps
        self.duration = float(duration)
        self._step_s = self.duration / steps
        workshop.step.dt = self._step_s
        self.shooting = workshop.shooting(steps)
        self.shooting.x0 = np.asarray(start, dtype=float)

    def cost(self, torque_cost: float) -> float:
        """J: what Crocoddyl calls the cost, and r1 T."""
        return torque_cost + self.problem.time_weight * self.duration

    def duration_gradient(self) -> float:
        """dJ/dT at the trajectory for which the shooting problem last computed its derivatives.

        By an adjoint sweep: with h = T / N, dJ/dT = r1 + 1/N sum_k [l_k + p_{k+1} . d x_{k+1} / dh], where l is the
        running cost without r1, p_N the gradient of the terminal cost, and p_k = h dl_k/dx + (dx_{k+1}/dx_k)' p_{k+1}.
        At a trajectory that is optimal for its duration this is the total derivative, since dJ/du = 0.
        """
        step = self._step_s
        adjoint = np.array(self.shooting.terminalData.Lx)
        total = 0.0
        for data in reversed(list(self.shooting.runningDatas)):
            acceleration = data.differential.xout
            # x' = (q + h v + h^2 a, v + h a); the second half of dx, h a, and v + h a follow from it.
            velocity = data.dx[:JOINTS] / step
            growth = np.concatenate([velocity + step * acceleration, acceleration])
            total += data.cost / step + adjoint @ growth
            adjoint = data.Lx + data.Fx.T @ adjoint
        return self.problem.time_weight + total / self.steps


def time_slopes(transcription: Transcription, ddp: Any) -> np.ndarray:
    """How the optimal remaining time changes with the state, d tau / dx, at each step of a DDP solution: (N, 14).

    With V(x, tau) the cost to go at a fixed remaining time, the optimal one has dV/dtau = 0, and dV/dtau is the
    Hamiltonian H(x, dV/dx). So d tau / dx = -g / (g . f) with g = dH/dx + Vxx f, where f is the rate of the state; it
    obeys d tau / dx . f = -1. Derivatives are those of the steps, so that this is right up to their length.

    Args:
        transcription: the problem with derivatives at the solution.
        ddp: the solver that has converged on it.
    """
    step = transcription.duration / transcription.steps
    data = list(transcription.shooting.runningDatas)
    rates = np.diff(np.array(ddp.xs), axis=0) / step
    adjoints = np.array(ddp.Vx)[1:]
    slopes = np.array([each.Lx + (each.Fx - np.eye(2 * JOINTS)).T @ p for each, p in zip(data, adjoints, strict=True)])
    slopes = slopes / step + np.einsum("kij,kj->ki", np.array(ddp.Vxx)[:-1], rates)
    curvature = np.einsum("ki,ki->k", slopes, rates)
    # The curvature in time is positive at a minimum; elsewhere nothing is claimed.
    return np.where(curvature[:, None] > 0, -slopes / np.where(curvature > 0, curvature, 1.0)[:, None], 0.0)


def _action_model(problem: ReachingProblem, step: float) -> Any:
    crocoddyl, _ = solver_packages()
    state, actuation = _state_and_actuation(problem)
    costs = crocoddyl.CostModelSum(state)
    effort = crocoddyl.ResidualModelControl(state, problem.goal_torque)
    motion = crocoddyl.ResidualModelJointAcceleration(state, JOINTS)
    # Crocoddyl's costs are half the squared residual.
    costs.addCost("torque", crocoddyl.CostModelResidual(state, effort), 2 * problem.torque_weight)
    costs.addCost("acceleration", crocoddyl.CostModelResidual(state, motion), 2 * problem.acceleration_weight)
    dynamics = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
    return crocoddyl.IntegratedActionModelEuler(dynamics, step)


def _terminal_model(problem: ReachingProblem) -> Any:
    crocoddyl, _ = solver_packages()
    state, actuation = _state_and_actuation(problem)
    costs = crocoddyl.CostModelSum(state)
    distance = crocoddyl.ResidualModelState(state, problem.goal_state, JOINTS)
    costs.addCost("distance", crocoddyl.CostModelResidual(state, distance), 2 * problem.terminal_weight)
    dynamics = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
    return crocoddyl.IntegratedActionModelEuler(dynamics, 0.0)


def _state_and_actuation(problem: ReachingProblem) -> tuple[Any, Any]:
    crocoddyl, _ = solver_packages()
    state = crocoddyl.StateMultibody(problem.model)
    return state, crocoddyl.ActuationModelFull(state)
