"""The environments as a user of Gymnasium meets them."""

import hashlib
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import stats

import dto_envs  # noqa: F401
from dto_eval import kernels

pytest.importorskip("robosuite")

TASKS = ("Lift", "Can", "Square", "ToolHang", "Transport")
SIZES = {"Lift": 19, "Can": 23, "Square": 23, "ToolHang": 53, "Transport": 59}


@pytest.fixture(scope="module")
def envs():
    return {task: gym.make(f"dto/{task}-v0") for task in TASKS}


@pytest.fixture
def square(envs):
    return envs["Square"]


def actions(env, steps, seed=0):
    size = env.action_space.shape[0]
    return np.random.default_rng(seed).uniform(-1, 1, (steps, size)).astype(np.float32)


def roll(env, steps=25, seed=0):
    return np.array([env.step(action)[0] for action in actions(env, steps, seed)])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore:.*Box observation space m.*:UserWarning")
def test_gymnasium_checks_it(envs, task):
    check_env(envs[task].unwrapped, skip_render_check=True)


@pytest.mark.parametrize("task", TASKS)
def test_spaces_and_info(envs, task):
    env = envs[task]
    observation, info = env.reset(seed=1)
    assert observation.shape == (SIZES[task],) and observation.dtype == np.float64
    assert env.action_space == gym.spaces.Box(-1, 1, (14 if task == "Transport" else 7,), np.float32)
    assert set(info) == {"init_hash", "success", "score"} and len(info["init_hash"]) == 64
    _, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert (reward, terminated, truncated, info) == (0.0, False, False, {"success": False, "score": 0.0})
    assert env.unwrapped.action_layout == dto_envs.row(f"dto/{task}-v0").layout


@pytest.mark.parametrize("task", TASKS)
def test_observation_holds_the_poses_it_names(envs, task):
    env = envs[task].unwrapped
    env.reset(seed=4)
    observation = roll(env, 12)[-1]
    name, start = {
        "Lift": ("cube_main", 0),
        "Can": ("Can_main", 7),
        "Square": ("SquareNut_main", 7),
        "ToolHang": ("tool_root", 35),
        "Transport": ("payload_root", 0),
    }[task]
    thing = env.data.body(name)
    hands = [env.data.site(f"gripper{k}_right_grip_site").xpos for k in range(len(env.action_space.low) // 7)]
    assert np.array_equal(observation[start : start + 3], thing.xpos)
    quaternion = observation[start + 3 : start + 7] * np.sign(observation[start + 6] * thing.xquat[0])
    assert np.allclose(quaternion, thing.xquat[[1, 2, 3, 0]], rtol=0, atol=1e-6 if name.endswith("root") else 0)
    for k, hand in enumerate(hands):
        end = len(observation) - 9 * (len(hands) - k)
        assert np.array_equal(observation[end : end + 3], hand)
        assert np.array_equal(observation[end + 7 : end + 9], env.data.qpos[9 * k + 7 : 9 * k + 9])
    if task == "Lift":
        assert np.array_equal(observation[7:10], thing.xpos - hands[0])
    if task == "Transport":
        assert np.array_equal(observation[[29, 30, 31]], thing.xpos - hands[0])
        assert np.array_equal(observation[[35, 36, 37]], thing.xpos - hands[1])


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_fixes_everything_whatever_came_before(envs, task):
    env = envs[task]
    first, first_info = env.reset(seed=100_003)
    trajectory = roll(env)
    env.reset(seed=5)
    roll(env, 7, seed=9)
    again, again_info = env.reset(seed=100_003)
    assert first_info == again_info and np.array_equal(first, again)
    assert np.array_equal(trajectory, roll(env))
    fresh = gym.make(f"dto/{task}-v0")
    assert fresh.reset(seed=100_003)[1] == first_info
    assert np.array_equal(trajectory, roll(fresh))


def test_environments_that_share_a_process_do_not_disturb_each_other(envs):
    for task in TASKS:
        alone, other = envs[task], gym.make(f"dto/{task}-v0")
        assert alone.unwrapped.model is other.unwrapped.model
        alone.reset(seed=8)
        expected = roll(alone, 6)
        alone.reset(seed=8)
        for k, action in enumerate(actions(alone, 6)):
            other.reset(seed=k)
            other.step(action)
            assert np.array_equal(alone.step(action)[0], expected[k])


ANOTHER_PROCESS = """
import hashlib, sys
import gymnasium as gym, numpy as np
import dto_envs
for task in reversed(sys.argv[1].split(",")):
    env = gym.make(f"dto/{task}-v0")
    env.reset(seed=1)
    _, info = env.reset(seed=100_000)
    actions = np.random.default_rng(0).uniform(-1, 1, (10, env.action_space.shape[0])).astype(np.float32)
    rolled = np.array([env.step(action)[0] for action in actions])
    print(task, info["init_hash"], hashlib.sha256(rolled.tobytes()).hexdigest())
"""


def test_another_process_without_any_opengl_agrees(envs, tmp_path):
    same_kernels = {name: value for name, value in os.environ.items() if name == kernels.VARIABLE}
    run = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['OpenGL'] = None\n" + ANOTHER_PROCESS] + [",".join(TASKS)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "MUJOCO_GL": "disabled", "HOME": str(tmp_path), **same_kernels},
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    for line in run.stdout.splitlines():
        task, init_hash, trajectory_hash = line.split()
        assert envs[task].reset(seed=100_000)[1]["init_hash"] == init_hash
        assert hashlib.sha256(roll(envs[task], 10).tobytes()).hexdigest() == trajectory_hash
    assert len(run.stdout.splitlines()) == len(TASKS)


def test_without_a_seed_episodes_differ_and_follow_from_the_first(square):
    def hashes():
        return [square.reset(seed=seed)[1]["init_hash"] for seed in (7, None, None)]

    first = hashes()
    assert len(set(first)) == 3 and hashes() == first


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("fast", [True, False])
def test_restoring_a_state_replays_the_episode(task, fast):
    env = gym.make(f"dto/{task}-v0", fast=fast)
    _, info = env.reset(seed=6)
    start = env.unwrapped.get_state()
    trajectory = roll(env, 15)
    for _ in range(2):
        _, restored = env.reset(options={"state": start})
        assert restored == info
        assert np.array_equal(trajectory, roll(env, 15))
    middle = env.unwrapped.get_state()
    env.reset(options={"state": middle})
    assert np.array_equal(env.unwrapped.get_state(), middle)
    once = roll(env, 5)
    env.reset(options={"state": middle})
    assert np.array_equal(once, roll(env, 5))


@pytest.mark.parametrize("task", ["Lift", "Transport"])
def test_a_sampled_size_is_part_of_the_seed_and_the_hash(envs, task):
    env = envs[task]
    _, info = env.reset(seed=1)
    size, state = env.unwrapped.object_size, env.unwrapped.get_state()
    _, other = env.reset(seed=2, options={"state": state})
    assert not np.array_equal(size, env.unwrapped.object_size)
    assert np.array_equal(env.unwrapped.get_state(), state) and other["init_hash"] != info["init_hash"]
    _, same = env.reset(seed=1, options={"state": state})
    assert same == info and np.array_equal(size, env.unwrapped.object_size)
    _, given = env.reset(seed=2, options={"state": state, "object_size": size})
    assert given == info
    assert envs["Can"].unwrapped.object_size is None


@pytest.mark.parametrize("options", [{"object_size": [0.02] * 3}, {"state": np.zeros(32), "object_size": [0.02, 0, 1]}])
def test_a_bad_cube_is_refused(envs, options):
    with pytest.raises(ValueError, match="state, object_size|positive half sizes"):
        envs["Lift"].reset(options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stat": np.zeros(45)}, "takes the options state, got stat"),
        ({"state": np.zeros(45), "object_size": np.ones(3)}, "takes the options state, got state, object_size"),
        ({"state": np.zeros(44)}, "45 finite numbers"),
        ({"state": np.full(45, np.nan)}, "45 finite numbers"),
    ],
)
def test_a_bad_state_is_refused_before_anything_changes(square, options, message):
    square.reset(seed=3)
    before = square.unwrapped.get_state()
    with pytest.raises(ValueError, match=message):
        square.reset(options=options)
    assert np.array_equal(before, square.unwrapped.get_state())


@pytest.mark.parametrize("action", [np.zeros(6), np.full(7, np.nan), np.array([np.inf] + [0] * 6)])
def test_a_bad_action_is_refused_before_anything_is_simulated(square, action):
    square.reset(seed=3)
    before = square.unwrapped.get_state()
    with pytest.raises(ValueError, match="7 finite numbers"):
        square.step(action)
    assert np.array_equal(before, square.unwrapped.get_state())


@pytest.mark.parametrize("keyword", [{"task": "Stack"}, {"obs_type": "pixels"}, {"render_mode": "ansi"}])
def test_a_bad_argument_names_the_choices(keyword):
    name, value = next(iter(keyword.items()))
    with pytest.raises(ValueError, match=f"{name} is '{value}'; choose one of"):
        gym.make("dto/Square-v0", **keyword)


def test_stepping_before_reset_and_rendering_without_a_mode_are_refused():
    env = gym.make("dto/Square-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(7))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="render_mode"):
        env.render()


@pytest.mark.parametrize("terminate", [True, False])
def test_success_ends_the_episode_if_asked_and_is_remembered(terminate):
    env = gym.make("dto/Lift-v0", terminate_on_success=terminate)
    env.reset(seed=1)
    state = env.unwrapped.get_state()
    # Time, seven arm joints and two fingers come before the cube's position.
    state[10:13] = (0.1, 0.1, 0.88)
    env.reset(options={"state": state})
    _, reward, terminated, _, info = env.step(np.zeros(7))
    assert (reward, terminated, info) == (1.0, terminate, {"success": True, "score": 1.0})
    if not terminate:
        for _ in range(10):
            _, reward, terminated, _, info = env.step(np.zeros(7))
        assert (reward, terminated, info) == (0.0, False, {"success": False, "score": 1.0})


def test_the_horizon_truncates(envs):
    env = envs["Lift"]
    env.reset(seed=0)
    ends = [env.step(np.zeros(7))[2:4] for _ in range(400)]
    assert ends[-1] == (False, True) and set(ends[:-1]) == {(False, False)}


def test_initial_states_have_robosuites_distribution(envs):
    """Square: the nut uniform over its field and all yaws, the arm Gaussian with 0.02 rad. Lift: the cube's sizes."""
    square, lift = envs["Square"].unwrapped, envs["Lift"].unwrapped
    states = np.array([square._scene.sample(seed)[0] for seed in range(300)])
    joints, nut = states[:, 1:8], states[:, 10:17]
    centre = [0, np.pi / 16, 0, -np.pi / 2 - np.pi / 3, 0, np.pi - 0.2, np.pi / 4]
    yaw = 2 * np.arctan2(nut[:, 6], nut[:, 3]) % (2 * np.pi)
    sizes = np.array([lift._scene.sample(seed)[1] for seed in range(300)])
    p_values = [stats.kstest((joints[:, k] - centre[k]) / 0.02, "norm").pvalue for k in range(7)]
    p_values += [
        stats.kstest(values, "uniform", args=(low, high - low)).pvalue
        for values, low, high in (
            (nut[:, 0], -0.115, -0.110),
            (nut[:, 1], 0.110, 0.225),
            (yaw, 0.0, 2 * np.pi),
            *((sizes[:, k], 0.020, 0.022) for k in range(3)),
        )
    ]
    assert min(p_values) > 1e-4
