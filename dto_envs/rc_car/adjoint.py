"""Gradients through a rollout of the learned car by the implicit function theorem (Koehler et al., equations 7 to 9).

The dynamics residuals g_i = x_{i+1} - f(x_i, u_i) of all steps, stacked, have a Jacobian with regard to the states that
is block lower bidiagonal with identities on its diagonal. So nothing is inverted: from the left (:func:`gradient`) its
inverse is one sweep over the blocks from the last step to the first, from the right (:func:`jacobian`, which writes
dx/du out as the paper does) one from the first to the last. The blocks themselves, the network's derivatives at every
step of every trajectory, do not depend on each other and are computed as one batch.
"""

from __future__ import annotations

import numpy as np

from dto_envs.rc_car.learned import CarNetwork, checked_batch


def gradient(
    network: CarNetwork,
    states: np.ndarray,
    controls: np.ndarray,
    state_costs: np.ndarray,
    control_costs: np.ndarray,
    past: np.ndarray | None = None,
) -> np.ndarray:
    """Total derivative of a cost of the states and controls with regard to the controls.

    Args:
        network: the dynamics.
        states: (B, n + 1, 6), the rollout of ``controls``.
        controls: (B, n, 2).
        state_costs: (B, n + 1, 6), partial derivatives of the cost with regard to the states.
        control_costs: (B, n, 2), partial derivatives of the cost with regard to the controls.
        past: as in :func:`dto_envs.rc_car.learned.rollout`.

    Returns:
        (B, n, 2) float64.
    """
    from dto_envs.rc_car import network_kernel as kernel

    states, jacobians = _blocks(network, states, controls, past)
    state_costs = _expect(state_costs, states.shape, "state_costs")
    control_costs = _expect(control_costs, np.shape(controls), "control_costs")
    return kernel.sweep_back(network.dt, states, jacobians, state_costs, control_costs)


def jacobian(
    network: CarNetwork, states: np.ndarray, controls: np.ndarray, past: np.ndarray | None = None
) -> np.ndarray:
    """Derivatives dx/du (B, n + 1, 6, n, 2) of every state with regard to every control; arguments as above."""
    from dto_envs.rc_car import network_kernel as kernel

    states, jacobians = _blocks(network, states, controls, past)
    return kernel.sweep_forward(network.dt, states, jacobians)


def _blocks(
    network: CarNetwork, states: np.ndarray, controls: np.ndarray, past: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The states (B, n + 1, 6), and the derivatives (B, n, 3, 3 + 2k) of every next velocity."""
    from dto_envs.rc_car import network_kernel as kernel

    shape = np.shape(controls)
    states = np.ascontiguousarray(states, dtype=np.float64)
    if len(shape) != 3 or states.shape != (shape[0], shape[1] + 1, 6):
        raise ValueError(
            f"controls must be (batch, steps, 2), states (batch, steps + 1, 6), not {shape}, {states.shape}"
        )
    _, controls, past = checked_batch(network, states[:, 0], controls, past)
    packed, straight, sizes, relu, standard = network.packed
    jacobians = kernel.step_jacobians(packed, straight, sizes, relu, network.residual, standard, states, controls, past)
    return states, jacobians


def _expect(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    array = np.ascontiguousarray(array, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} must be {shape}, not {array.shape}")
    return array
