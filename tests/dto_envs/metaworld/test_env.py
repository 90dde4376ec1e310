"""What is peculiar to these environments; what every environment has to do is tested in tests/dto_envs/test_envs.py."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

import dto_envs

pytest.importorskip("metaworld")

from dto_envs.metaworld.tasks import TASKS, quaternion


@pytest.fixture(scope="module")
def envs():
    return {task: gym.make(f"dto/{task}-v0") for task in TASKS}


def roll(env, steps=25, seed=0):
    actions = np.random.default_rng(seed).uniform(-1, 1, (steps, 4)).astype(np.float32)
    return np.array([env.step(action)[0] for action in actions])


@pytest.mark.parametrize("task", TASKS)
def test_numpys_global_generator_changes_nothing(envs, task):
    env = envs[task]
    np.random.seed(1)
    first = env.reset(seed=100_003)[1]["init_hash"]
    trajectory = roll(env)
    np.random.seed(2)
    assert env.reset(seed=100_003)[1]["init_hash"] == first
    assert np.array_equal(trajectory, roll(env))


@pytest.mark.parametrize("task", ["ShelfPlace", "Disassemble"])
def test_what_stands_elsewhere_in_another_environment_does_not_disturb_this_one(envs, task):
    alone, other = envs[task], gym.make(f"dto/{task}-v0")
    assert alone.unwrapped.simulation.model is other.unwrapped.simulation.model
    alone.reset(seed=8)
    expected = roll(alone, 40)
    alone.reset(seed=8)
    for k, action in enumerate(np.random.default_rng(0).uniform(-1, 1, (40, 4)).astype(np.float32)):
        other.reset(seed=k) if k % 10 == 0 else other.step(-action)
        assert np.array_equal(alone.step(action)[0], expected[k])


@pytest.mark.parametrize("task", TASKS)
def test_a_state_is_gone_on_from_bit_for_bit(envs, task):
    env, other = envs[task], gym.make(f"dto/{task}-v0")
    env.reset(seed=2)
    roll(env, 30, seed=1)
    state = env.unwrapped.get_state()
    expected = roll(env, 30)
    observation, info = other.reset(seed=9, options={"state": state})
    assert np.array_equal(other.unwrapped.get_state(), state) and len(info["init_hash"]) == 64
    assert np.array_equal(observation[:18], observation[18:36])
    found = roll(other, 30)
    assert np.array_equal(found[0, :18], expected[0, :18]) and np.array_equal(found[1:], expected[1:])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pose": 1}, "knows 'state'"),
        ({"state": np.zeros(3)}, "finite numbers, as get_state returns them"),
        ({"state": [np.nan] * 56}, "finite"),
    ],
)
def test_options_that_cannot_be_restored_are_refused(envs, options, message):
    with pytest.raises(ValueError, match=message):
        envs["PickPlaceWall"].reset(options=options)


@pytest.mark.parametrize("action", [np.zeros(3), np.full(4, np.nan)])
def test_bad_actions_are_refused(envs, action):
    env = envs["StickPush"]
    env.reset(seed=0)
    with pytest.raises(ValueError, match="4 finite numbers"):
        env.step(action)


def test_no_step_before_a_reset():
    env = gym.make("dto/StickPush-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(4))


def test_initial_states_fill_the_ranges_that_metaworld_draws_from(envs):
    for task, env in envs.items():
        placements = []
        for seed in range(100_000, 100_030):
            env.reset(seed=seed)
            placements.append(env.unwrapped.simulation.placement)
        low, high = np.array(TASKS[task].low), np.array(TASKS[task].high)
        placements = np.array(placements)
        assert (placements >= low).all() and (placements <= high).all()
        varied = high > low
        assert (np.ptp(placements, axis=0)[varied] > 0.6 * (high - low)[varied]).all()


def test_quaternions_turn_back_into_their_matrices():
    from scipy.spatial.transform import Rotation

    for rotation in Rotation.random(200, random_state=0):
        expected = Rotation.from_matrix(rotation.as_matrix()).as_quat()
        np.testing.assert_allclose(quaternion(rotation.as_matrix().ravel()), expected, rtol=0, atol=1e-15)


def test_making_one_without_metaworld_names_the_command():
    code = "import sys; sys.modules['metaworld'] = None\nimport gymnasium, dto_envs\ngymnasium.make('dto/StickPull-v0')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingExtraError" in last and "pip install 'dto-envs[metaworld]'" in last


def test_an_environment_on_states_imports_none_of_metaworlds_code():
    code = (
        "import sys; sys.modules['OpenGL'] = None\nimport gymnasium, dto_envs\n"
        "gymnasium.make('dto/StickPull-v0').reset(seed=0)\nassert 'metaworld' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": "", "MUJOCO_GL": "disabled"}
    )
    assert done.returncode == 0, done.stderr


def test_the_bound_is_six_millimetres_a_step():
    layout = dto_envs.row("dto/StickPush-v0").layout
    assert layout.bound * layout.scale[0] * layout.dt == pytest.approx(0.006)
