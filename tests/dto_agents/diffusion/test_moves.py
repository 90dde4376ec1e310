"""Demonstrations moved through the room that a task has."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dto_envs  # noqa: F401
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.moves import ROOMS, chances, room
from dto_agents.diffusion.recipe import RECIPES, DiffusionRecipe
from dto_agents.diffusion.train import make_windows
from dto_agents.experts.metaworld import GOAL, HAND, OBJECT
from dto_envs.registry import row

WALL = "dto/PickPlaceWall-v0"
ROOM = room(WALL)


def histories(count: int, *, y: float, height: float, seed: int = 0) -> torch.Tensor:
    """Histories (count, 2, 39) of a hand at y and a puck at a height, other numbers random."""
    drawn = np.random.default_rng(seed).uniform(-0.1, 0.1, (count, 2, 39))
    drawn[..., 1], drawn[..., 6] = y, height
    return torch.from_numpy(drawn)


@settings(deadline=None, max_examples=50)
@given(y=st.floats(0.5, 1.0), height=st.floats(0.0, 0.3), seed=st.integers(0, 2**31 - 1))
def test_what_moves_together_keeps_its_distances_and_the_rest_its_place(y, height, seed):
    torch.manual_seed(seed)
    given_ = histories(6, y=y, height=height, seed=seed)
    moved = ROOM.moved(given_)
    by = moved[..., HAND] - given_[..., HAND]
    torch.testing.assert_close(by, by[:, :1].expand_as(by))  # one displacement for all of a history
    for place in (4, 18, 22):
        torch.testing.assert_close(moved[..., place : place + 3] - given_[..., place : place + 3], by)
    untouched = [index for index in range(36) if not any(place <= index < place + 3 for place in (0, 4, 18, 22))]
    assert torch.equal(moved[..., untouched], given_[..., untouched])
    assert (by.abs() <= ROOM.reach(given_[:, :1, HAND]) + 1e-12).all()
    goals = given_[..., GOAL].roll(1, 0) if height < ROOM.lying else given_[..., GOAL]
    torch.testing.assert_close(moved[..., GOAL] - by, goals)


def test_before_the_wall_only_along_it_and_behind_it_every_way():
    hands = torch.tensor([[0.0, 0.6, 0.2], [0.0, 0.78, 0.2], [0.0, 0.80, 0.2], [0.0, 0.9, 0.2]])
    reach = ROOM.reach(hands)
    torch.testing.assert_close(reach[:2], torch.tensor([[0.04, 0.0, 0.0]] * 2))
    torch.testing.assert_close(reach[2:], torch.tensor([[0.04, 0.015, 0.025], [0.04, 0.03, 0.05]]))


def test_chances_reach_all_of_the_room():
    torch.manual_seed(0)
    drawn = chances(10_000)
    assert drawn.shape == (10_000, 3) and drawn.abs().max() <= 1
    assert drawn.amin() < -0.99 and drawn.amax() > 0.99 and drawn.mean(0).abs().max() < 0.03


def test_the_state_says_where_its_room_says():
    pytest.importorskip("metaworld")
    env = gymnasium.make(WALL)
    observed, _ = env.reset(seed=0)
    simulation = env.unwrapped.simulation
    np.testing.assert_allclose(observed[HAND], simulation.data.body("hand").xpos, atol=0.06)
    np.testing.assert_allclose(observed[OBJECT], simulation.data.body("obj").xpos, atol=1e-6)
    assert 0.84 <= observed[GOAL][1] <= 0.91 and 0.04 <= observed[GOAL][2] <= 0.31
    assert observed[OBJECT][2] < ROOM.lying
    env.close()


def test_training_varies_what_its_recipe_says():
    layout, recipe = row(WALL).layout, RECIPES[WALL]
    states = histories(20, y=0.9, height=0.1)[:, 0].numpy()
    demonstrations = Demonstrations(WALL, (Episode(states, np.zeros((20, 4))),))
    windows = make_windows(demonstrations, recipe, layout, episodes=None, seed=0)
    assert windows.varied is not None
    torch.manual_seed(0)
    moved, sequences = windows.varied(windows.states, windows.actions)
    torch.manual_seed(0)
    assert torch.equal(moved, ROOM.moved(windows.states)) and torch.equal(sequences, windows.actions)


def test_a_thing_lies_alone_while_it_is_down_and_the_hand_away():
    states = torch.zeros(4, 39)
    states[:, HAND] = torch.tensor([0.0, 0.6, 0.2])
    states[:, 4:7] = torch.tensor([0.0, 0.6, 0.02])
    states[1, 2] = 0.05  # the hand has come down
    states[2, 6] = 0.1  # it is lifted
    states[3, :3] = torch.tensor([0.09, 0.6, 0.02])
    assert ROOM.lies_alone(states).tolist() == [True, False, False, True]
    points = torch.tensor([[0.0, 0.6, 0.03], [0.03, 0.6, 0.0], [0.04, 0.6, 0.02], [0.0, 0.6, 0.06]])
    assert ROOM.on_thing(points, states[0]).tolist() == [True, True, False, False]
    by = torch.tensor([0.01, -0.02, 0.0]).expand(4, 3)
    moved = ROOM.thing_moved(states, by) - states
    for place in (4, 22):
        torch.testing.assert_close(moved[:, place : place + 3], by)
        moved[:, place : place + 3] = 0
    assert not moved.any()


def test_tasks_without_room_are_refused():
    assert set(ROOMS) == {WALL}
    with pytest.raises(ValueError, match="StickPush-v0 has no room"):
        room("dto/StickPush-v0")
    with pytest.raises(ValueError, match="mix_arms and move"):
        DiffusionRecipe(mix_arms=True, move=True)
