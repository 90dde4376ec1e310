"""Arrange-chopsticks: what is drawn, what the hand does, and what touching the table costs."""

import gymnasium as gym
import numpy as np
import pytest

import dto_envs

pytest.importorskip("robosuite")

from dto_envs.leto.building import TABLE_TOP  # noqa: E402
from dto_envs.leto.chopsticks import (  # noqa: E402
    BOWL_HEIGHT,
    BOWL_PLACE,
    LEAST_HEIGHT,
    STICK_RADIUS,
    STICKS,
    TOUCHING_HEIGHT,
)


@pytest.fixture(scope="module")
def env():
    made = gym.make("dto/ArrangeChopsticks-v0", terminate_on_success=False)
    yield made
    made.close()


def play(env, actions):
    return [env.step(np.asarray(action, dtype=np.float32))[-1] for action in actions]


def test_chopsticks_lie_on_either_side_of_a_bowl_that_stands_in_its_place(env):
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        first, second, bowl = observation[:3], observation[7:10], observation[14:17]
        assert first[1] < -0.12 and second[1] > 0.12
        np.testing.assert_allclose([first[2], second[2]], TABLE_TOP + STICK_RADIUS, atol=1e-9)
        np.testing.assert_allclose(bowl[:2], BOWL_PLACE)
        assert info["arranged"] == 0 and info["contact_force"] == 0.0


def test_the_hand_turns_about_the_vertical_and_no_other_way(env):
    env.reset(seed=1)
    hand = env.unwrapped.data.body("robot0_right_hand")
    play(env, [[0.3, 0.0, 0.0, 0.4, -1.0]] * 12)
    rotation = hand.xmat.reshape(3, 3)
    assert rotation[2, 2] < -0.999
    heading = np.arctan2(rotation[1, 0], rotation[0, 0])
    assert heading > 0.3


def test_how_hard_the_table_is_touched_is_told(env):
    env.reset(seed=2)
    down = [0.0, 0.0, -0.3, 0.0, -1.0]
    infos = play(env, [down] * 60)
    touched = [info for info in infos if info["contact_force"] > 1.0]
    assert touched and not any(info["tool_height"] > TOUCHING_HEIGHT + 0.003 for info in touched)
    assert infos[-1]["least_height"] == min(info["tool_height"] for info in infos) < LEAST_HEIGHT
    env.reset(seed=2)
    assert env.step(np.zeros(5, dtype=np.float32))[-1]["least_height"] > 0.1


def laid(env, angle):
    """A state with both chopsticks just over the bowl's rim, the second turned by ``angle`` rad."""
    env.reset(seed=3)
    state, model = env.unwrapped.get_state(), env.unwrapped.model
    for name, y, yaw in zip(STICKS, (-0.022, 0.022), (0.0, angle), strict=True):
        joint = 1 + model.joint(f"{name}_joint").qposadr[0]
        state[joint : joint + 3] = (*BOWL_PLACE + (0.0, y), TABLE_TOP + BOWL_HEIGHT + STICK_RADIUS + 0.0005)
        state[joint + 3 : joint + 7] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
    return state


def test_neat_chopsticks_on_the_bowl_are_success_and_a_crooked_one_is_not(env):
    rest = [[0.0, 0.0, 0.0, 0.0, -1.0]] * 16
    env.reset(options={"state": laid(env, 0.0)})
    infos = play(env, rest)
    assert infos[-1]["arranged"] == 2 and infos[-1]["success"]
    assert not infos[0]["success"], "they must have rested for a while"
    env.reset(options={"state": laid(env, 0.6)})
    infos = play(env, rest)
    assert infos[-1]["arranged"] == 1 and not infos[-1]["success"]


def test_filters_begin_at_a_standstill(env):
    assert env.unwrapped.from_rest and dto_envs.row("dto/ArrangeChopsticks-v0").from_rest
