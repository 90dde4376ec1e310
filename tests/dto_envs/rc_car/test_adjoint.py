"""Gradients of the learned car by the implicit function theorem, against torch and against central differences."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.rc_car import adjoint
from dto_envs.rc_car.learned import CarNetwork, rollout


@functools.cache
def make_network(actions, depth, width, activation, residual):
    rng = np.random.default_rng(width)
    sizes = [3 + 2 * actions, *[width] * depth, 3]
    layers = list(zip(sizes[:-1], sizes[1:], strict=True))
    return CarNetwork(
        weights=tuple((rng.normal(size=(o, i)) * np.sqrt(2 / i)).astype(np.float32) for i, o in layers),
        biases=tuple((0.1 * rng.normal(size=o)).astype(np.float32) for _, o in layers),
        input_mean=(0.1 * rng.normal(size=sizes[0])).astype(np.float32),
        input_scale=rng.uniform(0.5, 2, sizes[0]).astype(np.float32),
        output_mean=(0.1 * rng.normal(size=3)).astype(np.float32),
        output_scale=np.full(3, 0.2, dtype=np.float32),
        dt=0.05,
        activation=activation,
        residual=residual,
        actions=actions,
    )


def double_rollout(network, states, controls, past):
    """Equation 2 in float64 and torch, so that differences of it mean something."""
    act = (
        torch.relu if network.activation == "relu" else functools.partial(torch.nn.functional.gelu, approximate="tanh")
    )
    tensors = {name: torch.from_numpy(array).double() for name, array in network.tensors().items()}
    actions, state = torch.cat([past, controls], dim=1), states
    found = [state]
    for step in range(controls.shape[1]):
        recent = actions[:, step : step + network.actions].flatten(1)
        hidden = (torch.cat([state[:, 3:], recent], dim=1) - tensors["input_mean"]) / tensors["input_scale"]
        for index in range(len(network.weights)):
            hidden = hidden @ tensors[f"weight{index}"].T + tensors[f"bias{index}"]
            hidden = act(hidden) if index < len(network.weights) - 1 else hidden
        velocity = hidden * tensors["output_scale"] + tensors["output_mean"]
        velocity = velocity + state[:, 3:] if network.residual else velocity
        cos, sin = torch.cos(state[:, 2]), torch.sin(state[:, 2])
        moved = [cos * velocity[:, 0] - sin * velocity[:, 1], sin * velocity[:, 0] + cos * velocity[:, 1]]
        pose = state[:, :3] + network.dt * torch.stack([*moved, velocity[:, 2]], dim=1)
        state = torch.cat([pose, velocity], dim=1)
        found.append(state)
    return torch.stack(found, dim=1)


networks = st.builds(
    make_network,
    actions=st.sampled_from([1, 4]),
    depth=st.sampled_from([1, 3]),
    width=st.sampled_from([7, 32]),
    activation=st.sampled_from(["gelu", "relu"]),
    residual=st.booleans(),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(networks, st.integers(1, 3), st.integers(1, 12), st.integers(0, 10**6))
def test_the_gradient_is_that_of_torch(network, batch, steps, seed):
    rng = np.random.default_rng(seed)
    states, controls = rng.normal(size=(batch, 6)), rng.uniform(-1, 1, (batch, steps, 2))
    past = rng.uniform(-1, 1, (batch, network.actions - 1, 2))
    state_costs, control_costs = rng.normal(size=(batch, steps + 1, 6)), rng.normal(size=controls.shape)
    reached = rollout(network, states, controls, past)
    found = adjoint.gradient(network, reached, controls, state_costs, control_costs, past)

    variable = torch.tensor(controls, requires_grad=True)
    trajectory = double_rollout(network, torch.tensor(states), variable, torch.tensor(past))
    cost = (trajectory * torch.tensor(state_costs)).sum() + (variable * torch.tensor(control_costs)).sum()
    (expected,) = torch.autograd.grad(cost, variable)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=3e-4 * expected.abs().max().item())


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.sampled_from([1, 4]), st.integers(1, 12), st.integers(0, 10**6))
def test_the_gradient_is_that_of_central_differences(actions, steps, seed):
    network = make_network(actions, 3, 32, "gelu", True)
    rng = np.random.default_rng(seed)
    states, controls = rng.normal(size=(1, 6)), rng.uniform(-1, 1, (1, steps, 2))
    past, targets = rng.uniform(-1, 1, (1, actions - 1, 2)), rng.normal(size=(steps + 1, 6))
    reached = rollout(network, states, controls, past)
    found = adjoint.gradient(network, reached, controls, 2 * (reached - targets), np.zeros_like(controls), past)

    def cost(moved):
        trajectory = double_rollout(network, torch.tensor(states), torch.tensor(moved), torch.tensor(past))
        return float(((trajectory - torch.tensor(targets)) ** 2).sum())

    expected, shift = np.zeros_like(controls), 1e-5
    for index in np.ndindex(*controls.shape):
        above, below = controls.copy(), controls.copy()
        above[index] += shift
        below[index] -= shift
        expected[index] = (cost(above) - cost(below)) / (2 * shift)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(networks, st.integers(1, 3), st.integers(1, 12), st.integers(0, 10**6))
def test_the_written_out_jacobian_gives_the_same_gradient(network, batch, steps, seed):
    rng = np.random.default_rng(seed)
    controls, past = rng.uniform(-1, 1, (batch, steps, 2)), rng.uniform(-1, 1, (network.actions - 1, 2))
    reached = rollout(network, rng.normal(size=6), controls, past)
    state_costs, control_costs = rng.normal(size=reached.shape), rng.normal(size=controls.shape)
    full = adjoint.jacobian(network, reached, controls, past)
    expected = np.einsum("bti,btijc->bjc", state_costs, full) + control_costs
    found = adjoint.gradient(network, reached, controls, state_costs, control_costs, past)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_no_state_depends_on_later_controls():
    network = make_network(4, 3, 32, "gelu", True)
    rng = np.random.default_rng(3)
    controls = rng.uniform(-1, 1, (1, 6, 2))
    full = adjoint.jacobian(network, rollout(network, np.zeros(6), controls), controls)[0]
    assert all((full[: step + 1, :, step] == 0).all() for step in range(6))
    assert all((full[step + 1, 3:, step] != 0).all() for step in range(6))


def test_wrong_shapes_are_refused():
    network = make_network(1, 1, 7, "gelu", True)
    states, controls = np.zeros((2, 6, 6)), np.zeros((2, 5, 2))
    with pytest.raises(ValueError, match="steps \\+ 1"):
        adjoint.jacobian(network, states[:, :5], controls)
    with pytest.raises(ValueError, match="state_costs must be"):
        adjoint.gradient(network, states, controls, states[:, 1:], controls)
