"""Recurrent policies in a rollout: limits that hold whatever is observed, batches that do not matter, refreshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_agents.diffusion.windows import Range
from dto_agents.recurrent.network import RecurrentNetwork
from dto_agents.recurrent.policy import RecurrentPolicy
from dto_agents.recurrent.recipe import RecurrentRecipe
from dto_envs.registry import row

LAYOUT = row("dto/Square-v0").layout
SIZE = 5


def random_policy(head: str, *, seed: int = 0, spread: float = 1.0, **options) -> RecurrentPolicy:
    recipe = RecurrentRecipe(head=head, hidden=12, horizon=1 if head == "gmm" else 4, **options)
    torch.manual_seed(seed)
    network = RecurrentNetwork(recipe, LAYOUT, SIZE)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    if head == "leto":
        with torch.no_grad():
            network.optimizer.optimizer.q_source.entries.add_(torch.eye(4 * LAYOUT.size))
    return RecurrentPolicy(network, recipe, LAYOUT, Range(-torch.ones(SIZE).double(), torch.ones(SIZE).double()))


def rollout(policy: RecurrentPolicy, observations: np.ndarray, seeds: list[int]) -> np.ndarray:
    """Executed actions (steps, B, D_a) for observations (steps, B, SIZE)."""
    policy.reset(seeds)
    return np.stack([policy.act(observation)[:, 0] for observation in observations])


@given(
    seed=st.integers(0, 2**20),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
    size=st.sampled_from([1e-3, 1.0, 1e3, 1e9]),
    bound=st.sampled_from([0.02, 0.1, 0.5]),
    velocity=st.sampled_from([0.05, 0.7, 1.0]),
    kind=st.sampled_from(["noise", "jumps", "constant", "drift"]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_letos_limits_hold_whatever_is_observed(seed, spread, size, bound, velocity, kind):
    policy = random_policy("leto", seed=seed, spread=spread, bound=bound, velocity=velocity)
    rng = np.random.default_rng(seed)
    observations = {
        "noise": rng.normal(size=(30, 3, SIZE)) * size,
        "jumps": np.where(np.arange(30)[:, None, None] % 2, size, -size) * np.ones((30, 3, SIZE)),
        "constant": np.full((30, 3, SIZE), size),
        "drift": np.cumsum(rng.normal(size=(30, 3, SIZE)), axis=0) * size,
    }[kind]
    executed = rollout(policy, observations, [1, 2, 3])[:, :, :6].astype(np.float64)
    differences = np.diff(executed, axis=0, prepend=np.zeros((1, 3, 6)))
    assert np.abs(differences).max() <= bound + 1e-6
    assert np.abs(executed).max() <= velocity + 1e-6


def test_adversarial_observations_do_not_get_past_letos_limits():
    """Observations that climb the gradient of the largest difference, step by step, stop at the limit."""
    policy = random_policy("leto", spread=2.0)
    network = policy._network
    previous, state = np.zeros((1, 7)), None
    largest = 0.0
    for step in range(12):
        shown = torch.randn(1, 1, SIZE, generator=torch.Generator().manual_seed(step)).requires_grad_()
        for _ in range(15):
            embedding, after = network.embed(shown, state)
            jump = (torch.tanh(embedding[0, 0].reshape(4, 7)[0, :6]) - torch.from_numpy(previous[0, :6])).abs().max()
            (gradient,) = torch.autograd.grad(jump, shown)
            shown = (shown + 5.0 * gradient).detach().requires_grad_()
        executed = network.optimizer(embedding.detach().double().numpy().reshape(1, 4, 7), previous)[:, 0]
        largest = max(largest, np.abs(executed - previous)[0, :6].max())
        previous, state = executed, tuple(part.detach() for part in after)
    assert 0.1 - 1e-3 < largest <= 0.1 + 1e-6


@pytest.mark.parametrize("head", ["leto", "linear", "gmm"])
def test_an_episodes_actions_do_not_depend_on_the_batch(head):
    policy = random_policy(head, spread=0.4)
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(15, 40, SIZE))
    seeds = list(range(100, 140))
    expected = rollout(policy, observations, seeds)
    for size in (1, 3, 32, 33):
        rows = rng.permutation(40)[:size]
        actions = rollout(policy, observations[:, rows], [seeds[row] for row in rows])
        np.testing.assert_array_equal(actions, expected[:, rows])
    assert expected.dtype == np.float32


@pytest.mark.parametrize("head", ["linear", "gmm"])
def test_the_state_is_refreshed_as_often_as_in_training(head):
    policy = random_policy(head, spread=0.5, sampling_length=6)
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(12, 2, SIZE))
    other = observations.copy()
    other[:6] += 1.0
    for one in (observations, other):
        policy.reset([7, 8])
        actions = [policy.act(observation) for observation in one]
        if one is observations:
            expected = actions
    assert np.abs(actions[5] - expected[5]).max() > 0
    if head == "linear":
        np.testing.assert_array_equal(actions[6:], expected[6:])


def test_a_mixtures_seed_draws_the_mode():
    policy = random_policy("gmm", spread=1.0)
    observation = np.tile(np.random.default_rng(0).normal(size=(1, SIZE)), (64, 1))
    policy.reset([5] * 64)
    assert len(np.unique(policy.act(observation), axis=0)) == 1
    policy.reset(list(range(64)))
    drawn = len(np.unique(policy.act(observation), axis=0))
    assert 1 < drawn <= policy.recipe.modes


@pytest.mark.parametrize("shape", [(2, SIZE), (1, SIZE + 1), (1, 1, SIZE)])
def test_observations_that_do_not_fit_are_refused(shape):
    policy = random_policy("leto")
    policy.reset([5])
    with pytest.raises(ValueError, match="shape"):
        policy.act(np.zeros(shape))


@given(seed=st.integers(0, 2**20), start=st.floats(0.8085, 0.83))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_letos_layer_keeps_the_tool_above_the_table(seed, start):
    env = row("dto/ArrangeChopsticks-v0")
    limit = env.position_limit
    assert limit is not None
    recipe = RecurrentRecipe(hidden=12, horizon=4)
    torch.manual_seed(seed)
    network = RecurrentNetwork(recipe, env.layout, 30)
    torch.nn.init.constant_(network.head.bias, -2.0)
    everything = Range(-torch.ones(30).double(), torch.ones(30).double())
    policy = RecurrentPolicy(network, recipe, env.layout, everything)
    free, _ = descend(policy, limit.state, start)
    policy = RecurrentPolicy(network, recipe, env.layout, everything, position_limit=limit)
    heights, speeds = descend(policy, limit.state, start)
    assert np.abs(np.diff(speeds)).max() <= env.layout.bound + 1e-6
    assert min(heights) >= min(start, limit.lower) - 2e-5
    assert min(free) < limit.lower - 0.01


def descend(policy: RecurrentPolicy, index: int, start: float) -> tuple[list[float], list[float]]:
    """Heights, and speeds from a standstill on, of a tool that moves as it is commanded."""
    policy.reset([1])
    state = np.zeros((1, 30))
    state[:, index] = start
    heights, speeds = [start], [0.0]
    for _ in range(15):
        speeds.append(float(policy.act(state)[0, 0, 2]))
        state[:, index] += 0.05 * speeds[-1]
        heights.append(float(state[0, index]))
    return heights, speeds
