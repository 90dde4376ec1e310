"""Orientations as networks see them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import dto_envs  # noqa: F401
from dto_agents.diffusion.features import feature_size, features
from dto_agents.diffusion.recipe import RECIPES
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


def test_no_quaternions_no_change_and_zeros_stay_zeros():
    states = torch.rand(2, 5, 7, dtype=torch.float64)
    assert features(states, ()) is states
    assert (features(torch.zeros(1, 4), (0,)) == 0).all()


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
