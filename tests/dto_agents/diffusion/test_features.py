"""Orientations as networks see them."""

from __future__ import annotations

import json
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import dto_envs  # noqa: F401
from dto_agents.diffusion.features import FINE, WORLD, Fit, feature_size, features, near_a_fit
from dto_agents.diffusion.recipe import RECIPES, DiffusionRecipe
from dto_agents.experts import make_expert, toolhang
from dto_envs.registry import row


@given(seed=st.integers(0, 2**31), sign=st.sampled_from([-1.0, 1.0]))
def test_two_columns_of_the_rotation_matrix_whatever_the_sign(seed, sign):
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(3, 9))
    state[:, 2:6] /= np.linalg.norm(state[:, 2:6], axis=1, keepdims=True)
    signed = state.copy()
    signed[:, 2:6] *= sign
    seen = features(torch.from_numpy(signed), (2,)).numpy()
    assert seen.shape == (3, feature_size(9, (2,))) == (3, 11)
    np.testing.assert_array_equal(seen[:, :5], state[:, [0, 1, 6, 7, 8]])
    matrices = Rotation.from_quat(state[:, 2:6]).as_matrix()
    np.testing.assert_allclose(seen[:, 5:8], matrices[:, :, 0], atol=1e-12)
    np.testing.assert_allclose(seen[:, 8:11], matrices[:, :, 1], atol=1e-12)


@given(seed=st.integers(0, 2**31), turn=st.floats(-np.pi, np.pi))
def test_of_round_things_the_axis_whatever_the_turn_about_it(seed, turn):
    states, _, quaternions = poses(seed)
    rotation = Rotation.from_quat(quaternions[:, 1])
    turned = states.copy()
    turned[:, 11:15] = (rotation * Rotation.from_euler("z", turn)).as_quat()
    seen, again = (features(torch.from_numpy(state), (4,), (), (11,)).numpy() for state in (states, turned))
    assert seen.shape == (4, feature_size(15, (4,), (), (11,))) == (4, 16)
    np.testing.assert_array_equal(seen[:, :13], features(torch.from_numpy(states[:, :11]), (4,)).numpy())
    np.testing.assert_allclose(seen[:, 13:], rotation.as_matrix()[:, :, 2], atol=1e-12)
    np.testing.assert_allclose(again, seen, atol=1e-12)


def test_no_quaternions_no_change_and_zeros_stay_zeros():
    states = torch.rand(2, 5, 7, dtype=torch.float64)
    assert features(states, ()) is states
    assert (features(torch.zeros(1, 4), (0,)) == 0).all()


def poses(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (4, 15) of one number and two poses; positions (4, 2, 3) and quaternions (4, 2, 4) in them."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-0.3, 0.3, size=(4, 2, 3))
    quaternions = Rotation.random(8, rng=rng).as_quat().reshape(4, 2, 4)
    both = np.concatenate([positions, quaternions], axis=-1).reshape(4, 14)
    return np.concatenate([np.ones((4, 1)), both], axis=-1), positions, quaternions


@given(seed=st.integers(0, 2**31))
def test_a_fit_in_the_world_needs_no_other_thing(seed):
    states, positions, quaternions = poses(seed)
    fit = Fit(1, (0.01, -0.02, 0.1), WORLD, (0.0, 0.05, 0.15))
    seen = features(torch.from_numpy(states), (), (fit,)).numpy()
    offset = positions[:, 0] + Rotation.from_quat(quaternions[:, 0]).apply(fit.point) - fit.place
    np.testing.assert_allclose(np.sinh(seen[:, -3:]) * FINE, offset, atol=1e-12)


@given(seed=st.integers(0, 2**31))
def test_a_fit_is_what_is_missing_along_the_axes_of_the_place(seed):
    states, positions, quaternions = poses(seed)
    fit = Fit(1, (0.01, -0.02, 0.1), 8, (0.0, 0.05, 0.15))
    seen = features(torch.from_numpy(states), (4, 11), (fit,)).numpy()
    assert seen.shape == (4, feature_size(15, (4, 11), (fit,))) == (4, 22)
    moving, still = (Rotation.from_quat(quaternions[:, thing]) for thing in range(2))
    offset = still.inv().apply(positions[:, 0] + moving.apply(fit.point) - positions[:, 1]) - fit.place
    np.testing.assert_allclose(np.sinh(seen[:, -3:]) * FINE, offset, atol=1e-12)
    np.testing.assert_array_equal(seen[:, :-3], features(torch.from_numpy(states), (4, 11)).numpy())

    away = np.linalg.norm(offset, axis=1)
    never = fit._replace(near=0.0)
    near = near_a_fit(torch.from_numpy(states), (fit._replace(near=float(np.median(away))), never))
    assert near.tolist() == (away < np.median(away)).tolist()


def test_toolhangs_fits_are_met_where_the_rod_and_the_ring_hang():
    """The rod's tip over the rim of the hole and upright, the ring around the bump with the handle away from it."""
    stand = np.array([0.2, -0.1, 0.8, *Rotation.from_rotvec([0, 0, 0.3]).as_quat()])
    turn = Rotation.from_quat(stand[3:]) * toolhang.STANDING
    corner = stand[:3] + Rotation.from_quat(stand[3:]).apply(toolhang.HOLE) - turn.apply(toolhang.TIP)
    outward = turn * Rotation.from_rotvec([0, 0, np.pi])
    middle = corner + turn.apply(toolhang.BUMP) - outward.apply(toolhang.RING)
    state = np.zeros(53)
    for start, pose in zip(
        toolhang.OBJECTS, (stand, [*corner, *turn.as_quat()], [*middle, *outward.as_quat()]), strict=True
    ):
        state[start : start + 7] = pose
    recipe = RECIPES["dto/ToolHang-v0"]
    seen = features(torch.from_numpy(state)[None], recipe.rotations, recipe.fits)[0, -3 * len(recipe.fits) :]
    np.testing.assert_allclose(seen[:15].numpy() * FINE, 0, atol=1e-6)


def test_toolhangs_grasps_are_where_the_fingers_close():
    """In a rollout of the expert the fingers close around the frame's grip and the tool's middle."""
    pytest.importorskip("robosuite")
    expert = make_expert("dto/ToolHang-v0")
    env = gymnasium.make("dto/ToolHang-v0")
    observation, _ = env.reset(seed=0)
    expert.reset([0])
    recipe = RECIPES["dto/ToolHang-v0"]
    nearest = np.full(2, np.inf)
    for _ in range(env.spec.max_episode_steps):
        seen = features(torch.from_numpy(observation)[None].double(), recipe.rotations, recipe.fits)[0, -6:]
        offsets = np.sinh(seen.numpy()).reshape(2, 3) * FINE
        nearest = np.minimum(nearest, np.linalg.norm(offsets, axis=1))
        observation, _, terminated, truncated, _ = env.step(expert.act(observation[None]).ravel())
        if terminated or truncated:
            break
    env.close()
    assert terminated and (nearest < 0.01).all()


def test_transports_expert_meets_every_fit():
    """Lid, trash and hammer come between the fingers and to their places, and the first hand to where it offers."""
    pytest.importorskip("robosuite")
    expert, env = make_expert("dto/Transport-v0"), gymnasium.make("dto/Transport-v0")
    observation, _ = env.reset(seed=1)
    expert.reset([1])
    states, terminated, truncated = [observation], False, False
    while not (terminated or truncated):
        observation, _, terminated, truncated, _ = env.step(expert.act(observation[None]).ravel())
        states.append(observation)
    env.close()
    recipe = RECIPES["dto/Transport-v0"]
    seen = features(torch.from_numpy(np.array(states, dtype=np.float64)), recipe.rotations, recipe.fits)
    missing = np.sinh(seen[:, -3 * len(recipe.fits) :].numpy()).reshape(len(states), -1, 3) * FINE
    met = np.linalg.norm(missing, axis=2).min(axis=0) < 0.02
    assert terminated and met[:2].all() and met[6:].all()
    assert met[2:6].reshape(2, 2).any(axis=1).all()  # each hand takes half of the handle, whichever way it lies


@pytest.mark.parametrize("env_id", ["dto/ToolHang-v0", "dto/Transport-v0"])
def test_recipes_with_fits_are_read_again_from_their_cards(env_id):
    recipe = RECIPES[env_id]
    assert DiffusionRecipe(**json.loads(json.dumps(asdict(recipe)))) == recipe


QUATERNIONS = {
    **{"dto/Lift-v0": 2, "dto/Can-v0": 3, "dto/Square-v0": 3, "dto/ToolHang-v0": 7, "dto/Transport-v0": 5},
    **{"dto/MoveStack-v0": 4, "dto/ArrangeChopsticks-v0": 4},
}


@pytest.mark.parametrize("env_id", QUATERNIONS)
def test_recipes_point_at_the_environments_quaternions(env_id):
    pytest.importorskip("robosuite")
    env = gymnasium.make(env_id)
    env.reset(seed=3)
    action = np.resize([0.1, 0, 0, 0, 0, 0.3, -1], row(env_id).layout.size)
    for _ in range(2):
        observation = env.step(action)[0]
    env.close()
    rotations = RECIPES[env_id].rotations
    for start in rotations:
        assert np.linalg.norm(observation[start : start + 4]) == pytest.approx(1.0, abs=1e-6)
    assert len(set(rotations)) == QUATERNIONS[env_id]
