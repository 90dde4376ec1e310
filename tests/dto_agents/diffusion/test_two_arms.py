"""Demonstrations of two arms, mixed."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

import dto_envs  # noqa: F401
from dto_agents import catalogue
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.recipe import RECIPES
from dto_agents.diffusion.train import make_windows
from dto_agents.diffusion.two_arms import REACH, WALLS, put_together, two_arms
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
    drawn = states(count, distance=REACH + 0.1)
    drawn[1::2] = states(count // 2, height=WALLS + 0.1, cleared=1.0)  # every other one is about to take a hammer
    histories = drawn[:, None].repeat(1, 2, 1)
    sequences = torch.arange(count, dtype=torch.float32)[:, None, None].repeat(1, 16, 14)
    mixed, done = put_together(ARMS, histories, sequences)
    changed = (done != sequences).any(-1).any(-1)
    # The even ones would get a second arm that takes a hammer; the odd ones get one that works on its own thing.
    assert not changed[::2].any() and 70 < changed.sum() < 130
    before = drawn.roll(1, 0)
    assert torch.equal(mixed[changed], ARMS.together(histories, before[:, None].repeat(1, 2, 1))[changed])
    assert torch.equal(mixed[~changed], histories[~changed])
    assert torch.equal(done[changed][..., 7:], sequences.roll(1, 0)[changed][..., 7:])
    assert torch.equal(done[..., :7], sequences[..., :7])


@pytest.mark.parametrize("thing", ARMS.put_away, ids=("trash", "lid"))
def test_what_is_put_away_in_both_lies_as_in_the_other(thing):
    first, second = states(4)[:, None].repeat(1, 2, 1), states(8)[4:, None].repeat(1, 2, 1)
    middle = (torch.tensor(thing.low) + torch.tensor(thing.high)) / 2
    pose, gripper = slice(thing.pose, thing.pose + 3), slice(thing.gripper, thing.gripper + 3)
    for histories, shift in ((first, 0.0), (second, 0.01)):
        histories[..., pose] = middle + shift
        histories[..., gripper] = middle + 0.3
        histories[..., thing.between : thing.between + 3] = shift - 0.3
    first[1, 0, gripper] = middle + 0.01  # the hand still has it in the older observation
    second[2, 1, thing.pose + 2] = thing.high[2] + 0.1  # it is still up in the air
    new = thing.exchanged(first, second)
    assert torch.equal(new[1:3], first[1:3])
    for row_ in (0, 3):
        whole = slice(thing.pose, thing.pose + 7)
        assert torch.equal(new[row_][:, whole], second[row_][:, whole])
        between = new[row_][:, thing.between : thing.between + 3]
        torch.testing.assert_close(between, new[row_][:, pose] - new[row_][:, gripper], rtol=0, atol=0)
        kept = [i for i in range(59) if i not in range(*whole.indices(59)) and not 0 <= i - thing.between < 3]
        assert torch.equal(new[row_][:, kept], first[row_][:, kept])
    torch.testing.assert_close(thing.exchanged(first, first), first)


def test_an_expert_puts_trash_and_lid_away_before_the_handover():
    pytest.importorskip("robosuite")
    env = gymnasium.make(TRANSPORT)
    expert = catalogue.make_agent("expert", TRANSPORT, "only")
    expert.reset([3])
    observation = env.reset(seed=3)[0]
    seen = [observation]
    for _ in range(row(TRANSPORT).horizon):
        observation, _, over, _, info = env.step(expert.act(observation[None])[0, 0])
        seen.append(observation)
        if over or info["success"]:
            break
    env.close()
    observed = torch.from_numpy(np.array(seen, dtype=np.float64))
    done = torch.stack([thing.done(observed[:, None]) for thing in ARMS.put_away], 1)
    lifted = int((observed[:, 2] > WALLS).nonzero()[0])
    assert not done[:20].any() and done[lifted:].all() and info["success"]


def test_the_recipe_of_transport_mixes_and_other_tasks_cannot():
    recipe = RECIPES[TRANSPORT]
    assert recipe.mix_arms
    episode = Episode(np.zeros((20, 59)), np.zeros((20, 14)))
    windows = make_windows(Demonstrations(TRANSPORT, (episode,)), recipe, row(TRANSPORT).layout, episodes=None, seed=0)
    assert windows.varied is not None and windows.varied.args == (ARMS,)
    with pytest.raises(ValueError, match="dto/AlohaArrangeDesk-v0 has no arms that work side by side"):
        two_arms("dto/AlohaArrangeDesk-v0")
