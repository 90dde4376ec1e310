"""Move-the-stack: what resets draw, what keeps the chopstick on top, and when the task is done."""

import gymnasium as gym
import numpy as np
import pytest

import dto_envs

pytest.importorskip("robosuite")

from dto_envs.leto.movestack import FORGOTTEN, MOVE_STACK, scene  # noqa: E402

STILL = np.zeros(3, dtype=np.float32)


@pytest.fixture(scope="module")
def env():
    made = gym.make("dto/MoveStack-v0", terminate_on_success=False)
    yield made
    made.close()


def play(env, actions):
    return [env.step(np.asarray(action, dtype=np.float32))[-1] for action in actions]


def test_the_stack_rests_in_the_gripper_whatever_is_drawn(env):
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        assert info["stacked"] and info["chopstick_on_top"] and not info["success"]
        after, *_, info = [env.step(STILL) for _ in range(8)][-1]
        assert info["stacked"] and info["chopstick_on_top"]
        np.testing.assert_allclose(after[:3], observation[:3], atol=2e-3)
        np.testing.assert_allclose(after[21:24], observation[21:24], atol=2e-3)


def test_a_jerk_loses_the_chopstick_and_the_same_way_gently_does_not(env):
    shakes = [[0.0, sign, 0.0] for sign in (1.0, -1.0) for _ in range(4)] * 3
    env.reset(seed=1)
    assert not play(env, shakes)[-1]["chopstick_on_top"]
    env.reset(seed=1)
    ramp = np.concatenate([np.linspace(0, 0.6, 12), np.linspace(0.6, 0, 12)])
    assert all(info["chopstick_on_top"] for info in play(env, [[0.0, y, 0.0] for y in ramp]))


def test_without_the_chopstick_nothing_else_is_different(env):
    bare = gym.make("dto/MoveStack-v0", chopstick=False)
    observation, info = bare.reset(seed=3)
    assert not info["chopstick_on_top"] and info["stacked"]
    with_it, with_info = env.reset(seed=3)
    np.testing.assert_allclose(observation, with_it, atol=2e-3)
    assert info["init_hash"] != with_info["init_hash"]
    np.testing.assert_allclose(bare.unwrapped.data.body("chopstick").xpos, FORGOTTEN, atol=2e-3)
    bare.close()


def test_pressing_on_the_table_is_felt(env):
    env.reset(seed=5)
    infos = play(env, [[0.0, 0.0, -0.6]] * 25)
    forces = [info["contact_force"] for info in infos]
    assert max(forces[:3]) < 1.0 and max(forces[-5:]) > 5.0
    assert not any(info["success"] for info in infos), "a table is no board"


def test_initial_states_stay_within_what_is_drawn():
    states = np.array([scene().sample(seed) for seed in range(6)])
    assert len({state.tobytes() for state in states}) == 6
    assert (states[:, 0] == 0).all() and (states[:, -scene().model.nv :] == 0).all()
    assert MOVE_STACK.task.cameras == ("agentview",)


def test_filters_begin_at_a_standstill(env):
    assert env.unwrapped.from_rest and dto_envs.row("dto/MoveStack-v0").from_rest
    from dto_envs.wrappers import FilterAction

    filtered = FilterAction(env, "clipping")
    filtered.reset(seed=0)
    info = filtered.step(np.ones(3, dtype=np.float32))[-1]
    np.testing.assert_allclose(info["executed_action"], 0.25, atol=1e-6)
