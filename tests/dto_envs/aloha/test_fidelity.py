"""Gym-aloha's two tasks beside its own environment: the same physics, bit for bit, and the same rewards."""

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401

sim = pytest.importorskip("gym_aloha.tasks.sim")
control = pytest.importorskip("dm_control.rl.control")

from dm_control import mujoco as dm_mujoco  # noqa: E402
from gym_aloha.constants import ASSETS_DIR, DT  # noqa: E402

from dto_agents.aloha.expert import AlohaExpert  # noqa: E402

TASKS = {
    "AlohaTransferCube": ("bimanual_viperx_transfer_cube.xml", sim.TransferCubeTask, 7),
    "AlohaInsertion": ("bimanual_viperx_insertion.xml", sim.InsertionTask, 14),
}


def gym_alohas(task, ours, monkeypatch):
    """Gym-aloha's control loop, its pictures left out, with the things where ours are."""
    file, kind, _ = TASKS[task]
    monkeypatch.setattr(sim, "BOX_POSE", [ours.data.qpos[16:].copy()])
    monkeypatch.setattr(kind, "get_observation", lambda self, physics: {"qpos": self.get_qpos(physics)})
    physics = dm_mujoco.Physics.from_xml_path(str(ASSETS_DIR / file))
    env = control.Environment(physics, kind(), float("inf"), control_timestep=DT, flat_observation=False)
    env.reset()
    # Its reset leaves the solver a start that differs by rounding, since it forwards with the motors off.
    physics.data.qacc_warmstart[:] = ours.data.qacc_warmstart
    return env


@pytest.mark.parametrize("task", TASKS)
def test_an_experts_episode_is_gym_alohas_to_the_last_bit(task, monkeypatch):
    ours = gymnasium.make(f"dto/{task}-v0", terminate_on_success=False).unwrapped
    expert = AlohaExpert(f"dto/{task}-v0")
    observation, _ = ours.reset(seed=5)
    expert.reset([5])
    theirs = gym_alohas(task, ours, monkeypatch)
    rewards = []
    for _ in range(250):
        action = expert.act(observation[None])[0, 0]
        observation, reward, *_ = ours.step(action)
        their_step = theirs.step(np.clip(action.astype(np.float64), ours._low, ours._high))
        assert np.array_equal(ours.data.qpos, theirs.physics.data.qpos)
        assert np.array_equal(ours.data.qvel, theirs.physics.data.qvel)
        assert reward == their_step.reward
        np.testing.assert_array_equal(observation[:14], their_step.observation["qpos"])
        rewards.append(reward)
    assert {0.0, 1.0, 2.0} <= set(rewards), "the episode does not come far enough to compare rewards"


@pytest.mark.parametrize("task", TASKS)
def test_random_actions_do_the_same_to_both(task, monkeypatch):
    ours = gymnasium.make(f"dto/{task}-v0").unwrapped
    ours.reset(seed=2)
    theirs = gym_alohas(task, ours, monkeypatch)
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(ours._low, ours._high).astype(np.float32)
        _, reward, *_ = ours.step(action)
        assert theirs.step(np.clip(action.astype(np.float64), ours._low, ours._high)).reward == reward
        assert np.array_equal(ours.data.qpos, theirs.physics.data.qpos)
