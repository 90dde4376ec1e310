"""Hands from joint angles, and what ALOHA's hands and things are shown to be missing."""

from __future__ import annotations

import json
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dto_envs  # noqa: F401
from dto_agents.catalogue import make_agent
from dto_agents.diffusion.features import FINE, feature_size, features
from dto_agents.diffusion.hands import LEFT_ARM, RIGHT_ARM, with_hands
from dto_agents.diffusion.recipe import RECIPES, DiffusionRecipe

TASKS = ("dto/AlohaTransferCube-v0", "dto/AlohaInsertion-v0", "dto/AlohaArrangeDesk-v0")
# Things are grasped where there is room, not exactly where the fit says; the peg goes on into the socket.
MET = 0.02  # m


@pytest.fixture(scope="module")
def arms():
    pytest.importorskip("mujoco")
    from dto_agents.aloha.kinematics import ArmKinematics

    return [ArmKinematics("AlohaInsertion", arm) for arm in range(2)]


@given(seed=st.integers(0, 2**31))
def test_hands_are_where_mujoco_puts_them(arms, seed):
    states = np.random.default_rng(seed).uniform(-np.pi, np.pi, size=(2, 3, 17))
    hands = (LEFT_ARM, RIGHT_ARM)
    seen = with_hands(torch.from_numpy(states), hands).numpy()
    assert seen.shape == (2, 3, 31)
    np.testing.assert_array_equal(seen[..., :17], states)
    for hand, arm, start in zip(hands, arms, (17, 24), strict=True):
        pose = arm.pose(states[1, 2, hand.joints : hand.joints + 6])
        np.testing.assert_allclose(seen[1, 2, start : start + 3], pose.position, atol=1e-5)
        quaternion = seen[1, 2, start + 3 : start + 7]
        assert abs(quaternion @ pose.rotation.as_quat()) == pytest.approx(1.0, abs=1e-9)


def test_without_hands_a_state_stays_what_it_is():
    states = torch.rand(2, 5)
    assert with_hands(states, ()) is states


@pytest.mark.parametrize("env_id", [*TASKS, "dto/Transport-v0"])
def test_an_expert_meets_every_fit(env_id):
    """In a rollout each point comes to its place, and what recipes take for quaternions are some."""
    pytest.importorskip("robosuite" if "Transport" in env_id else "mujoco")
    recipe = RECIPES[env_id]
    expert, env = make_agent("expert", env_id), gymnasium.make(env_id)
    observation, _ = env.reset(seed=1)
    expert.reset([1])
    states, terminated, truncated = [observation], False, False
    while not (terminated or truncated):
        observation, _, terminated, truncated, _ = env.step(expert.act(observation[None]).ravel())
        states.append(observation)
    env.close()
    assert terminated
    rollout = torch.from_numpy(np.array(states, dtype=np.float64))
    whole = with_hands(rollout[1:], recipe.hands)  # at a reset robosuite observes quaternions of zeros
    for start in recipe.rotations:
        np.testing.assert_allclose(whole[:, start : start + 4].norm(dim=-1), 1.0, atol=1e-6)
    seen = features(rollout, recipe.rotations, recipe.fits, recipe.hands)
    size = feature_size(len(observation), recipe.rotations, recipe.fits, recipe.hands)
    assert seen.shape == (len(states), size)
    missing = seen[:, -3 * len(recipe.fits) :].sinh().reshape(len(states), -1, 3).norm(dim=-1) * FINE
    met = missing.min(dim=0).values < MET
    if env_id == "dto/Transport-v0":  # each hand takes one half of the hammer's handle, whichever way it lies
        met = torch.cat([met[:2], met[2:6].reshape(2, 2).any(dim=1), met[6:]])
    assert met.all()


@pytest.mark.parametrize("env_id", TASKS)
def test_recipes_with_hands_are_read_again_from_their_cards(env_id):
    recipe = RECIPES[env_id]
    assert DiffusionRecipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
