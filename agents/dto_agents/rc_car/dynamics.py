"""The cars that a planner can plan with: learned ones with analytic gradients, and the analytic one itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

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
        """States (B, n + 1, 6) from ``state`` (S,) under controls (B, n, 2) after past (recorded, 2)."""
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
            state: (S,) where the rollouts begin.
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
        return learned.rollout(self.network, state[:6], controls, past)

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
    """The analytic car, with gradients by central differences over one batch of rollouts.

    Attributes:
        parameters: the car, by default that of the environments.
        dt: seconds that a control is held.
        shift: by how much each control is moved to either side. Where tyres begin to slide there is an edge, which a
            shift that is not too small sees across.
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
        states = np.broadcast_to(state, (len(controls), len(state)))
        return np.ascontiguousarray(car.rollout(states, controls, self.dt, self.parameters)[..., :6])

    def gradient(
        self,
        state: np.ndarray,
        states: np.ndarray,
        controls: np.ndarray,
        partials: tuple[np.ndarray, np.ndarray],
        past: np.ndarray,
    ) -> np.ndarray:
        """See :class:`Dynamics`."""
        state_costs, control_costs = partials
        gradient = control_costs.copy()
        steps = controls.shape[1]
        moves = self.shift * np.eye(2 * steps).reshape(2 * steps, steps, 2)
        for index, nominal in enumerate(controls):
            both = self.rollout(state, np.concatenate([nominal + moves, nominal - moves]), past)
            slopes = (both[: 2 * steps] - both[2 * steps :]) / (2 * self.shift)
            gradient[index] += np.einsum("jti,ti->j", slopes, state_costs[index]).reshape(steps, 2)
        return gradient
