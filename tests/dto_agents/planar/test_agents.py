import gymnasium as gym
import numpy as np
import pytest

import dto_envs  # noqa: F401
from dto_agents.catalogue import make_agent
from dto_agents.planar.agents import PlanningAgent


def play(env, agent, seed: int) -> dict:
    observation, info = env.reset(seed=seed)
    agent.reset([seed])
    for action in agent.act(observation[None])[0]:
        _, _, terminated, _, info = env.step(action)
    assert terminated
    return info


def test_the_expert_solves_its_tasks():
    env, agent = gym.make("dto/PlanarPush-v0"), make_agent("expert", "dto/PlanarPush-v0")
    losses = [play(env, agent, seed)["trajectory_loss"] for seed in range(100_000, 100_015)]
    assert np.median(losses) < 0.1 and max(losses) < 4.0


def test_the_program_solves_tasks_too():
    env = gym.make("dto/PlanarPush-v0", object_set="train")
    agent = make_agent("miqp", "dto/PlanarPush-v0")
    assert play(env, agent, 0)["trajectory_loss"] < 1.0


def test_forces_can_be_fed_forward():
    env = gym.make("dto/PlanarPush-v0", object_set="test", feed_forward=True)
    agent = PlanningAgent(feed_forward=True)
    assert max(play(env, agent, seed)["trajectory_loss"] for seed in range(3)) < 1.0


def test_an_episode_does_not_know_its_neighbours():
    env, agent = gym.make("dto/PlanarPush-v0"), PlanningAgent()
    states = np.stack([env.reset(seed=seed)[0] for seed in range(3)])
    agent.reset([0, 1, 2])
    together = agent.act(states)
    assert together.shape == (3, 5, 4) and together.dtype == np.float32
    for index, state in enumerate(states):
        agent.reset([index])
        np.testing.assert_array_equal(agent.act(state[None])[0], together[index])


def test_what_it_cannot_do():
    with pytest.raises(ValueError, match="plans for dto/PlanarPush-v0, not for dto/PushT-v0"):
        make_agent("miqp", "dto/PushT-v0")
    agent = PlanningAgent()
    agent.reset([0])
    with pytest.raises(ValueError, match="obs_type='state'"):
        agent.act(np.zeros((1, 15)))
