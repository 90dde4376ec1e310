"""Training recurrent policies: sequences, losses, and weights that are read again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.demos.dataset import task_format
from dto_agents.diffusion.features import feature_size
from dto_agents.recurrent.network import LEAST_DEVIATION, RecurrentNetwork
from dto_agents.recurrent.policy import load_policy
from dto_agents.recurrent.recipe import RECIPES, RecurrentRecipe, recipe_for
from dto_agents.recurrent.train import imitation_loss, make_sequences, sequence_indices, train_recurrent
from dto_envs.registry import ENVS, row

NAMES = tuple(name for name, recipe in RECIPES.items() if not recipe.cameras)
TINY = RecurrentRecipe(hidden=8, layers=1, sampling_length=5, horizon=3, steps=6, batch_size=4, warmup_steps=1)


def test_sequences_begin_at_every_step_and_repeat_the_last():
    steps, targets = sequence_indices([4, 2], sampling_length=3, horizon=2)
    np.testing.assert_array_equal(steps, [[0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3], [4, 5, 5], [5, 5, 5]])
    np.testing.assert_array_equal(targets[0], [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_array_equal(targets[2], [[2, 3], [3, 3], [3, 3]])
    assert targets.shape == (6, 3, 2)


@pytest.mark.parametrize("head", ["leto", "linear", "gmm"])
def test_training_lowers_the_loss(head, demonstrations):
    recipe = replace(TINY, head=head, hidden=32, batch_size=32)
    sequences = make_sequences(demonstrations, recipe, episodes=None, seed=0)
    torch.manual_seed(0)
    network = RecurrentNetwork(recipe, row("dto/PushT-v0").layout, sequences.features.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    draw = imitation_loss(sequences, 32)
    losses = []
    for _ in range(80):
        loss = draw(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    before, after = np.mean(losses[:5]), np.mean(losses[-5:])
    assert after < before - 1.0 if head == "gmm" else after < 0.5 * before


def test_letos_q_and_encoder_both_learn(demonstrations):
    sequences = make_sequences(demonstrations, TINY, episodes=None, seed=0)
    network = RecurrentNetwork(TINY, row("dto/PushT-v0").layout, sequences.features.shape[-1])
    imitation_loss(sequences, 16)(network).backward()
    gradients = {name: parameter.grad.abs().max().item() for name, parameter in network.named_parameters()}
    assert gradients["optimizer.optimizer.q_source.entries"] > 0
    assert all(gradient > 0 for name, gradient in gradients.items() if "lstm" in name or "head" in name)


def test_a_mixtures_density_is_that_of_its_gaussians():
    recipe = RecurrentRecipe(head="gmm", hidden=4, horizon=1, modes=2)
    network = RecurrentNetwork(recipe, row("dto/PushT-v0").layout, 3)
    outputs = torch.randn(6, 2 * (1 + 2 * 2), dtype=torch.float64)
    value = torch.zeros(6, 2, dtype=torch.float64)
    weights = outputs[:, :2].softmax(-1)
    rest = outputs[:, 2:].reshape(6, 2, 2, 2)
    deviation = torch.nn.functional.softplus(rest[:, :, 1]) + LEAST_DEVIATION
    exponent = -0.5 * ((value[:, None] - rest[:, :, 0].tanh()) / deviation).square().sum(-1)
    densities = exponent.exp() / (2 * np.pi * deviation.prod(-1))
    expected = (weights * densities).sum(-1).log()
    torch.testing.assert_close(network.mixture(outputs).log_prob(value), expected)


@pytest.mark.parametrize("agent", NAMES)
def test_weights_are_written_and_read_again(agent, demonstrations, tmp_path):
    recipe = replace(TINY, head=recipe_for(agent, "dto/PushT-v0").head)
    path = train_recurrent(
        agent, demonstrations, recipe, seed=3, root=tmp_path, report=lambda finished, loss: None, episodes=2
    )
    (entry,) = zoo.list_members(agent, "dto/PushT-v0", tmp_path)
    assert entry.path == path and entry.card["recipe"]["hidden"] == 8 and len(entry.card["data"]["episodes"]) == 2
    policy = load_policy(agent, entry, "dto/PushT-v0")
    policy.reset([1, 2])
    assert policy.act(np.full((2, 20), 200.0)).shape == (2, recipe.horizon, 2)
    with pytest.raises(zoo.DamagedWeightsError, match="not for dto/Square-v0"):
        load_policy(agent, entry, "dto/Square-v0")
    with pytest.raises(FileExistsError, match="already trained"):
        train_recurrent(agent, demonstrations, recipe, seed=3, root=tmp_path, report=lambda finished, loss: None)


@pytest.mark.parametrize("agent", NAMES)
def test_recipes_fit_four_megabytes(agent):
    for env_id in ("dto/Can-v0", "dto/Square-v0", "dto/PushT-v0"):
        assert env_id in ENVS
        recipe = recipe_for(agent, env_id)
        size = feature_size(task_format(env_id).size, recipe.rotations)
        network = RecurrentNetwork(recipe, row(env_id).layout, size)
        assert 2 * sum(value.numel() for value in network.parameters()) < 4e6


def test_unknown_agents_and_nonsense_are_refused():
    with pytest.raises(ValueError, match="leto or lstm-gmm"):
        recipe_for("lstm", "dto/Can-v0")
    with pytest.raises(ValueError, match="horizon"):
        RecurrentRecipe(horizon=0)
