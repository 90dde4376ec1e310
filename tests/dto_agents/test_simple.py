"""Random and still agents."""

from __future__ import annotations

import numpy as np
import pytest

from dto_agents.simple import HoldAgent, RandomAgent
from dto_envs.registry import row


def test_random_actions_fill_the_range_and_depend_on_the_episodes_seed_alone():
    layout = row("dto/PushT-v0").layout
    agent = RandomAgent("dto/PushT-v0")
    agent.reset([3, 4])
    pair = np.stack([agent.act(np.zeros((2, 20))) for _ in range(500)])
    agent.reset([4])
    alone = np.stack([agent.act(np.zeros((1, 20))) for _ in range(500)])
    np.testing.assert_array_equal(pair[:, 1], alone[:, 0])
    assert pair.dtype == np.float32 and pair.shape == (500, 2, 2)
    low, high = np.asarray(layout.low), np.asarray(layout.high)
    assert (pair >= low).all() and (pair <= high).all()
    np.testing.assert_allclose(pair.mean((0, 1)), (low + high) / 2, rtol=0.1)


def test_hold_stays_where_it_is():
    agent = HoldAgent("dto/PushT-v0")
    agent.reset([0, 1])
    observations = np.random.default_rng(0).uniform(0, 512, (2, 20))
    np.testing.assert_array_equal(agent.act(observations), observations[:, :2].astype(np.float32))
    np.testing.assert_array_equal(agent.act({"state": observations}), observations[:, :2].astype(np.float32))
    with pytest.raises(ValueError, match="obs_type"):
        agent.act({"image": observations})


def test_hold_commands_no_velocity():
    agent = HoldAgent("dto/Square-v0")
    agent.reset([0])
    np.testing.assert_array_equal(agent.act(np.ones((1, 23))), np.zeros((1, 7), np.float32))


@pytest.mark.parametrize("task", ["Parking", "Reverse", "DriftTurn", "Race"])
def test_hold_lets_a_car_coast(task):
    agent = HoldAgent(f"dto/RCCar{task}-v0")
    agent.reset([0, 1])
    np.testing.assert_array_equal(agent.act(np.ones((2, 38))), np.zeros((2, 2), np.float32))
