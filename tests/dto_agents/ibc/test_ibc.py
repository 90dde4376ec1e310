"""Implicit policies: the loss, the search, training, and weights that are read again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.catalogue import make_agent
from dto_agents.diffusion.windows import Range
from dto_agents.ibc.network import EnergyNetwork, info_nce, search
from dto_agents.ibc.policy import IbcPolicy, load_policy, make_energy
from dto_agents.ibc.recipe import IbcRecipe, recipe_for
from dto_agents.ibc.train import contrastive_loss, make_examples, train_ibc
from dto_envs.registry import row

LAYOUT = row("dto/Square-v0").layout
TINY = IbcRecipe(width=16, blocks=1, steps=5, batch_size=8, counter_examples=4, samples=16, warmup_steps=1)


class Bowl(torch.nn.Module):
    """An energy whose minimum is known: the condition's first numbers."""

    def forward(self, condition, actions):
        return 50.0 * (actions - condition[:, None, : actions.shape[-1]]).square().sum(-1)


def test_the_loss_is_the_cross_entropy_of_the_demonstrated_action():
    condition = torch.tensor([[0.0, 0.0]])
    others = torch.tensor([[[1.0, 0.0], [0.0, 0.2]]])
    energies = torch.tensor([0.0, 50.0, 2.0])
    expected = -torch.log_softmax(-energies, dim=0)[0]
    found = info_nce(Bowl(), condition, torch.tensor([[0.0, 0.0]]), others)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_search_finds_the_minimum_within_the_box():
    recipe = IbcRecipe(samples=1024, iterations=5)
    low, high = -torch.ones(2), torch.ones(2)
    for goal in ([0.3, -0.6], [0.9, 0.9], [1.5, 0.0]):
        found = search(Bowl(), torch.tensor([goal]), low, high, recipe, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        assert (found - torch.tensor(goal).clamp(-1, 1)).abs().max() < 0.1
        assert (found.abs() <= 1).all()


def random_policy(**options) -> IbcPolicy:
    recipe = replace(TINY, **options)
    torch.manual_seed(0)
    energy = EnergyNetwork(recipe, recipe.n_obs_steps * 5, recipe.horizon * LAYOUT.size)
    span = torch.ones(5).double()
    return IbcPolicy(energy, recipe, LAYOUT, Range(-span, span), (-torch.ones(7), torch.ones(7)))


def test_an_episodes_actions_depend_on_its_seed_and_on_no_neighbour():
    policy = random_policy(horizon=3, n_action_steps=2)
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(2, 8, 2, 5))
    seeds = list(range(8))

    def play(rows):
        policy.reset([seeds[k] for k in rows])
        return np.stack([policy.act(observation[rows]) for observation in observations])

    expected = play(seeds)
    assert expected.shape == (2, 8, 3, 7) and expected.dtype == np.float32
    for rows in ([3], [5, 1], [7, 6, 2]):
        np.testing.assert_array_equal(play(rows), expected[:, rows])
    policy.reset([99] * 8)
    assert np.abs(policy.act(observations[0]) - expected[0]).max() > 0


@pytest.mark.parametrize("shape", [(2, 2, 5), (1, 5), (1, 2, 6)])
def test_observations_that_do_not_fit_are_refused(shape):
    policy = random_policy()
    policy.reset([5])
    with pytest.raises(ValueError, match="shape"):
        policy.act(np.zeros(shape))


def test_examples_hold_the_history_and_the_actions_after_it(demonstrations):
    recipe = replace(TINY, n_obs_steps=2, horizon=3, n_action_steps=1)
    examples = make_examples(demonstrations, recipe, episodes=None, seed=0)
    episode = demonstrations.episodes[0]
    actions = row("dto/PushT-v0").layout.normalize(episode.actions)
    np.testing.assert_allclose(examples.actions[0], actions[:3].ravel(), atol=1e-6)
    assert torch.equal(examples.conditions[0][:20], examples.conditions[0][20:]), "before the first step it is repeated"
    assert (examples.low <= examples.actions.amin()).all() or (examples.low >= -1).all()
    assert ((examples.high - examples.low) > 0).all() and examples.high.max() <= 1


def test_training_lowers_the_loss(demonstrations):
    recipe = replace(TINY, width=32, batch_size=64, counter_examples=16)
    examples = make_examples(demonstrations, recipe, episodes=None, seed=0)
    torch.manual_seed(0)
    energy = make_energy(recipe, row("dto/PushT-v0").layout, examples.state_size)
    optimizer = torch.optim.Adam(energy.parameters(), lr=3e-3)
    draw = contrastive_loss(examples, recipe)
    losses = []
    for _ in range(150):
        loss = draw(energy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])


def test_weights_are_written_and_read_again(demonstrations, tmp_path):
    path = train_ibc(demonstrations, TINY, seed=3, root=tmp_path, report=lambda finished, loss: None, episodes=2)
    (entry,) = zoo.list_members("ibc", "dto/PushT-v0", tmp_path)
    assert entry.path == path and len(entry.card["data"]["episodes"]) == 2
    first = load_policy(entry, "dto/PushT-v0")
    second = make_agent("ibc", "dto/PushT-v0", "seed3", weights=tmp_path)
    for policy in (first, second):
        policy.reset([1, 2])
    seen = np.full((2, 2, 20), 200.0)
    np.testing.assert_array_equal(first.act(seen), second.act(seen))
    with pytest.raises(zoo.DamagedWeightsError, match="not for dto/Square-v0"):
        load_policy(entry, "dto/Square-v0")
    with pytest.raises(FileExistsError, match="already trained"):
        train_ibc(demonstrations, TINY, seed=3, root=tmp_path, report=lambda finished, loss: None)


def test_recipes_fit_the_task_and_refuse_nonsense():
    assert recipe_for("dto/Square-v0").rotations == (3, 10, 17)
    size = sum(value.numel() for value in make_energy(recipe_for("dto/Square-v0"), LAYOUT, 23).parameters())
    assert 2 * size < 1.2e6
    with pytest.raises(ValueError, match="samples must be at least 1"):
        IbcRecipe(samples=0)
    with pytest.raises(ValueError, match="2 actions cannot be executed of 1"):
        IbcRecipe(n_action_steps=2)
