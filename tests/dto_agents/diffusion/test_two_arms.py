"""Demonstrations of two arms, mixed."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

import dto_envs  # noqa: F401
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.recipe import RECIPES
from dto_agents.diffusion.train import make_windows
from dto_agents.diffusion.two_arms import REACH, WALLS, mix, two_arms
from dto_envs.registry import row

TRANSPORT = "dto/Transport-v0"
ARMS = two_arms(TRANSPORT)


def states(count: int, *, height: float = 0.83, distance: float = 0.6, cleared: float = 0.0) -> torch.Tensor:
    """States (count, 59) of a hammer at a height and at a distance from the second gripper, other numbers random."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(-1, 1, (count, 59))
    drawn[:, 2] = height
    away = rng.normal(size=(count, 3))
    drawn[:, 50:53] = drawn[:, 0:3] - distance * away / np.linalg.norm(away, axis=1, keepdims=True)
    drawn[:, 35:38] = drawn[:, 0:3] - drawn[:, 50:53]
    drawn[:, 28] = cleared
    return torch.from_numpy(drawn)


def test_a_state_beside_itself_stays_as_the_environment_gave_it():
    pytest.importorskip("robosuite")
    env = gymnasium.make(TRANSPORT)
    seen = [env.reset(seed=seed)[0] for seed in range(2)]
    env.action_space.seed(0)
    seen += [env.step(env.action_space.sample())[0] for _ in range(3)]
    env.close()
    observed = torch.from_numpy(np.array(seen, dtype=np.float64))
    assert torch.equal(ARMS.together(observed, observed), observed)
    mixed = ARMS.together(observed[:1], observed[1:2])[0]
    hammer, trash, first, second = (slice(start, start + 3) for start in (0, 7, 41, 50))
    ours, theirs = observed[0], observed[1]
    assert torch.equal(mixed[29:35], ours[29:35]) and torch.equal(mixed[41:50], ours[41:50])
    assert torch.equal(mixed[35:38], ours[hammer] - theirs[second])
    assert torch.equal(mixed[38:41], theirs[38:41]) and torch.equal(mixed[trash], theirs[trash])
    assert not torch.equal(ours[first], theirs[first])


def test_arms_fit_together_while_neither_waits_for_the_other():
    alone = states(1)
    assert ARMS.fits(alone, alone).all()
    near = states(1, distance=REACH - 0.01)
    assert not ARMS.fits(near, alone).any()
    assert ARMS.fits(alone, near).all()  # it still works on the trash, wherever the other's hammer is
    waiting, held_out = states(1, cleared=1.0), states(1, height=WALLS + 0.1)
    assert ARMS.fits(alone, waiting).all()
    assert not ARMS.fits(held_out, waiting).any()  # it would have to come
    assert not ARMS.fits(alone, states(1, height=WALLS + 0.1, cleared=1.0)).any()


def test_about_half_of_what_fits_is_mixed_and_nothing_else():
    torch.manual_seed(0)
    count = 400
    first, second = states(count), states(count).flip(0)
    second[:200, 28], second[:200, 2] = 1.0, WALLS + 0.1  # these take the hammer
    histories, others = first[:, None].repeat(1, 2, 1), second[:, None].repeat(1, 2, 1)
    actions, other_actions = torch.zeros(count, 16, 14), torch.ones(count, 16, 14)
    rows, mixed, done = mix(ARMS, histories, actions, others, other_actions)
    assert (rows >= 200).all() and 70 < len(rows) < 130 and len(rows.unique()) == len(rows)
    assert torch.equal(mixed, ARMS.together(histories[rows], others[rows]))
    assert (done[..., 7:] == 1).all() and (done[..., :7] == 0).all() and (actions == 0).all()


def test_the_recipe_of_transport_mixes_and_other_tasks_cannot():
    recipe = RECIPES[TRANSPORT]
    assert recipe.mix_arms
    episode = Episode(np.zeros((20, 59)), np.zeros((20, 14)))
    windows = make_windows(Demonstrations(TRANSPORT, (episode,)), recipe, row(TRANSPORT).layout, episodes=None, seed=0)
    assert windows.arms is ARMS
    with pytest.raises(ValueError, match="dto/AlohaArrangeDesk-v0 has no arms that work side by side"):
        two_arms("dto/AlohaArrangeDesk-v0")
