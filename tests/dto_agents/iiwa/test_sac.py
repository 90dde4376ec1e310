"""The model-free controller of the iiwa: what it sees and commands, what it is paid, and its way into a zoo."""

import json

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

import dto_envs  # noqa: F401
from dto_agents import zoo
from dto_agents.catalogue import make_agent, members
from dto_agents.iiwa.agents import ENV_ID
from dto_agents.iiwa.sac import SPANS, SacAgent, features, load_agent, torques_of
from dto_envs.iiwa.constants import GOAL, TORQUE_LIMITS
from dto_envs.iiwa.model import goal_torque

pytest.importorskip("stable_baselines3")
from dto_agents.iiwa.sac_training import APPROACH, FLOOR, ReachingFeatures, train_sac  # noqa: E402
from dto_agents.soft_actor_critic import SacRecipe  # noqa: E402

TINY = SacRecipe(steps=96, environments=4, updates=1, warmup=20, width=8, depth=1, batch_size=8, tests=1)


def test_at_the_goal_the_policy_sees_zeros_and_zeros_hold_it():
    env = gymnasium.make(ENV_ID)
    observation, _ = env.reset(seed=0, options={"state": GOAL})
    np.testing.assert_allclose(features(observation[None]), np.zeros((1, 14)), atol=1e-7)
    np.testing.assert_allclose(torques_of(np.zeros((1, 7)))[0], goal_torque(), rtol=1e-6)
    assert (np.abs(torques_of(np.ones((1, 7)))[0]) < TORQUE_LIMITS).all()
    np.testing.assert_allclose(torques_of(np.ones(7)) - torques_of(-np.ones(7)), 2 * SPANS, rtol=1e-4)


def test_a_step_earns_minus_its_cost_with_a_floor_and_what_it_comes_nearer():
    env = ReachingFeatures(gymnasium.make(ENV_ID))
    _, before = env.reset(seed=0)
    _, gentle, *_, info = env.step(np.zeros(7, np.float32))
    assert gentle == pytest.approx(-info["cost"] + APPROACH * (before["distance"] - info["distance"]))
    _, before = env.reset(seed=0)
    _, wild, *_, info = env.step(np.ones(7, np.float32))
    assert info["cost"] > -FLOOR
    assert wild == pytest.approx(FLOOR + APPROACH * (before["distance"] - info["distance"]))


def test_training_writes_a_policy_that_the_catalogue_builds(tmp_path):
    told = []
    path = train_sac(TINY, seed=7, root=tmp_path, report=lambda samples, loss: told.append(samples))
    assert path == tmp_path / "IiwaReach" / "iiwa-sac" / "seed7.safetensors" and told[-1] == 96
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["steps"] == 96 and card["selected"]["episodes"] == 20
    (member,) = members("iiwa-sac", ENV_ID, weights=tmp_path)
    agent = make_agent("iiwa-sac", ENV_ID, member.name, weights=tmp_path)
    assert isinstance(agent, SacAgent)
    seen = np.stack([gymnasium.make(ENV_ID).reset(seed=seed)[0] for seed in range(3)])
    agent.reset(range(3))
    assert agent.act(seen).shape == (3, 7) and agent.act(seen).dtype == np.float32
    with pytest.raises(ValueError, match="acts in dto/IiwaReach-v0 only"):
        load_agent(zoo.find_member("iiwa-sac", ENV_ID, "seed7", tmp_path), "dto/Lift-v0")
    with pytest.raises(FileExistsError, match="already trained"):
        train_sac(TINY, seed=7, root=tmp_path, report=lambda *_: None)
