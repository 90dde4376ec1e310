"""The still agent keeps the arm where it began."""

import gymnasium
import numpy as np

from dto_agents.catalogue import make_agent


def test_hold_carries_the_arms_weight():
    agent = make_agent("hold", "dto/IiwaReach-v0")
    env = gymnasium.make("dto/IiwaReach-v0", side=2.0)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        agent.reset([seed])
        start = observation[:7].copy()
        for _ in range(100):
            (action,) = agent.act(observation[None])
            observation = env.step(action)[0]
        assert action.dtype == np.float32
        np.testing.assert_allclose(observation[:7], start, atol=2e-3)
