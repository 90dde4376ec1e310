"""The cars that a planner can plan with: learned ones with analytic gradients, and the analytic one itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dto_agents.rc_car.costs import Familiar, Term
from dto_agents.rc_car.dynamics_kernel import sweep
from dto_envs.rc_car import adjoint, car, learned
from dto_envs.rc_car.car import CONTROL_STEP, DEFAULT, CarParameters
from dto_envs.rc_car.learned import CarNetwork


class Dynamics(Protocol):
    """Equation 1b, over batches; the first six numbers of the ``state`` that a car starts from are what is observed."""

    @property
    def dt(self) -> float:
        """Seconds that a control is held."""
        ...

    @property
    def recorded(self) -> int:
        """Number of past actions that a prediction needs."""
        ...

    def rollout(self, state: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        """States (B, n + 1, 6) from ``state``, (S,) or (B, S), under controls (B, n, 2) after past (recorded, 2)."""
        ...

    def terms(self) -> tuple[Term, ...]:
        """What a cost needs for these dynamics to be trusted."""
        ...

    def gradient(
        self,
        state: np.ndarray,
        states: np.ndarray,
        controls: np.ndarray,
        partials: tuple[np.ndarray, np.ndarray],
        past: np.ndarray,
    ) -> np.ndarray:
        """Derivative (B, n, 2) of a cost with regard to the controls.

        Args:
            state: where the rollouts begin, (S,) or (B, S).
            states: (B, n + 1, 6), the rollouts of ``controls``.
            controls: (B, n, 2).
            partials: the cost's partial derivatives with regard to states and controls.
            past: (recorded, 2) actions before the first control.
        """
        ...


@dataclass(frozen=True)
class LearnedDynamics:
    """A network, with gradients by the implicit function theorem."""

    network: CarNetwork

    @property
    def dt(self) -> float:
        """See :class:`Dynamics`."""
        return self.network.dt

    @property
    def recorded(self) -> int:
        """See :class:`Dynamics`."""
        return self.network.actions - 1

    def rollout(self, state: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        """See :class:`Dynamics`."""
        return learned.rollout(self.network, state[..., :6], controls, past)

    def terms(self) -> tuple[Term, ...]:
        """Velocities like those that the network learned from."""
        return (Familiar(self.network.input_mean[:3].astype(float), self.network.input_scale[:3].astype(float)),)

    def gradient(
        self,
        state: np.ndarray,
        states: np.ndarray,
        controls: np.ndarray,
        partials: tuple[np.ndarray, np.ndarray],
        past: np.ndarray,
    ) -> np.ndarray:
        """See :class:`Dynamics`."""
        return adjoint.gradient(self.network, states, controls, *partials, past)


@dataclass(frozen=True)
class AnalyticDynamics:
    """The analytic car; its gradients sweep over the same blocks as a network's, got by differences of single steps.

    Attributes:
        parameters: the car, by default that of the environments.
        dt: seconds that a control is held.
        shift: by how much each velocity and control is moved to either side. Where tyres begin to slide there is an
            edge, which a shift that is not too small sees across.
    """

    parameters: CarParameters = DEFAULT
    dt: float = CONTROL_STEP
    shift: float = 0.003

    @property
    def recorded(self) -> int:
        """See :class:`Dynamics`; controls under way are part of the car's state."""
        return 0

    def rollout(self, state: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        """See :class:`Dynamics`."""
        return np.ascontiguousarray(self._drive(state, controls)[..., :6])

    def terms(self) -> tuple[Term, ...]:
        """None: this is the car itself."""
        return ()

    def gradient(
        self,
        state: np.ndarray,
        states: np.ndarray,
        controls: np.ndarray,
        partials: tuple[np.ndarray, np.ndarray],
        past: np.ndarray,
    ) -> np.ndarray:
        """See :class:`Dynamics`."""
        full = self._drive(state, controls)
        return sweep(full, *self._blocks(full, controls), *partials, self.dt)

    def _drive(self, state: np.ndarray, controls: np.ndarray) -> np.ndarray:
        states = np.broadcast_to(state, (len(controls), np.shape(state)[-1]))
        return car.rollout(states, controls, self.dt, self.parameters)

    def _blocks(self, states: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of every next velocity (B, n, 3, H + 2) and of the H hidden numbers (B, n, H, H + 2).

        Hidden are the instantaneous velocity and the controls under way; the derivatives are with regard to them and to
        the control. Full states are (B, n + 1, S).
        """
        columns = [*range(car.INSTANT.start, car.INSTANT.stop), *range(car.DELAYED, states.shape[-1])]
        inputs = np.concatenate([states[:, :-1, columns], controls], axis=2)
        size = inputs.shape[-1]
        moves = self.shift * np.concatenate([np.eye(size), -np.eye(size)])
        moved = (inputs[:, :, None] + moves).reshape(-1, size)
        starts = np.zeros((len(moved), states.shape[-1]))
        starts[:, columns] = moved[:, :-2]
        ends = car.rollout(starts, moved[:, None, -2:], self.dt, self.parameters)[:, 1]
        outputs = np.concatenate([ends[:, car.VELOCITY], ends[:, columns]], axis=1)
        outputs = outputs.reshape(*inputs.shape[:2], 2, size, -1)
        slopes = ((outputs[:, :, 0] - outputs[:, :, 1]) / (2 * self.shift)).swapaxes(2, 3)
        return slopes[:, :, :3], slopes[:, :, 3:]
