"""ALOHA's tasks as a user of Gymnasium meets them."""

import gymnasium
import numpy as np
import pytest

import dto_envs

pytest.importorskip("gym_aloha")
mujoco = pytest.importorskip("mujoco")

from dto_envs.aloha.placing import BOWL, CUBE, CUP, LAST_CUP, PEG, SOCKET, STACK  # noqa: E402
from dto_envs.aloha.scene import TASKS  # noqa: E402

SIZES = {"AlohaTransferCube": 35, "AlohaInsertion": 42, "AlohaArrangeDesk": 49, "AlohaMoveStack": 28}
FIELDS = {
    "AlohaTransferCube": (CUBE,),
    "AlohaInsertion": (PEG, SOCKET),
    "AlohaArrangeDesk": (BOWL, CUP, LAST_CUP),
    "AlohaMoveStack": (STACK,),
}


@pytest.fixture(scope="module")
def envs():
    return {task: gymnasium.make(f"dto/{task}-v0").unwrapped for task in TASKS}


def hold(env):
    """The action that leaves the arms where they start."""
    return env.reset(seed=0)[0][: env.action_layout.size].astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_an_observation_holds_joints_speeds_and_poses(envs, task):
    env = envs[task]
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(2):
        observation, *_ = env.step(hold(env) + rng.uniform(-0.05, 0.05, env.action_layout.size))
    arms, data = len(TASKS[task].arms), env.data
    assert observation.shape == (SIZES[task],)
    for index, arm in enumerate(TASKS[task].arms):
        joints = [data.joint(f"vx300s_{arm}/{name}") for name in ("waist", "wrist_rotate", "left_finger")]
        assert observation[7 * index] == joints[0].qpos[0] and observation[7 * index + 5] == joints[1].qpos[0]
        assert observation[7 * (arms + index)] == joints[0].qvel[0]
        assert observation[7 * index + 6] == pytest.approx((joints[2].qpos[0] - 0.01844) / 0.03956)
        assert observation[7 * (arms + index) + 6] == pytest.approx(joints[2].qvel[0] / 0.03956)
    for name, pose in zip(TASKS[task].things, observation[14 * arms :].reshape(-1, 7), strict=True):
        np.testing.assert_allclose(pose[:3], data.body(name).xpos, atol=1e-12)
        np.testing.assert_allclose(pose[[6, 3, 4, 5]], data.body(name).xquat, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_things_begin_in_their_fields_all_over_them(envs, task):
    env = envs[task]
    starts = np.array([env.reset(seed=seed)[0][14 * len(TASKS[task].arms) :].reshape(-1, 7) for seed in range(40)])
    for index, (xs, ys) in enumerate(FIELDS[task]):
        for axis, (low, high) in enumerate((xs, ys)):
            values = starts[:, index, axis]
            assert low - 1e-3 < values.min() < low + 0.2 * (high - low)
            assert high - 0.2 * (high - low) < values.max() < high + 1e-3


@pytest.mark.parametrize("task", ["AlohaArrangeDesk", "AlohaMoveStack"])
def test_what_nobody_touches_stays_where_it_is(envs, task):
    env = envs[task]
    action = hold(env)
    before = env.reset(seed=1)[0][14 * len(TASKS[task].arms) :]
    for _ in range(20):
        observation, *_ = env.step(action)
    after = observation[14 * len(TASKS[task].arms) :]
    np.testing.assert_allclose(after.reshape(-1, 7)[:, :3], before.reshape(-1, 7)[:, :3], atol=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_an_action_has_taken_effect_by_the_end_of_its_period(envs, task):
    env = envs[task]
    action = hold(env)
    action[0] += 0.05
    steps = round(1.0 / env.action_layout.dt)
    angles = [env.step(action)[0][0] for _ in range(steps)]
    assert angles[-1] == pytest.approx(action[0], abs=2e-3)
    assert env.data.time == pytest.approx(steps * env.action_layout.dt, abs=0.02)


def test_slow_actions_are_tracked_on_a_straight_line(envs, monkeypatch):
    """Arranging the desk has actions of 0.25 s; the servos get a target every 0.02 s, and the last one half of that."""
    env = envs["AlohaArrangeDesk"]
    action = hold(env)
    start, targets, ticks = env.data.ctrl[0], [], []
    simulate = mujoco.mj_step

    def watch(model, data, nstep):
        targets.append(data.ctrl[0] - start)
        ticks.append(nstep)
        simulate(model, data, nstep)

    monkeypatch.setattr(mujoco, "mj_step", watch)
    action[0] += 0.1
    env.step(action)
    assert ticks == [10] * 12 + [5]
    np.testing.assert_allclose(targets, 0.1 * np.cumsum(ticks) / 125, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_state_is_restored_with_what_the_servos_were_told(envs, task):
    env = envs[task]
    rng = np.random.default_rng(1)
    start = hold(env)
    actions = [start + rng.uniform(-0.05, 0.05, start.size).astype(np.float32) for _ in range(4)]
    for action in actions[:2]:
        env.step(action)
    middle = env.get_state()

    def rest():
        _, info = env.reset(options={"state": middle})
        return info["init_hash"], np.array([env.step(action)[0] for action in actions[2:]])

    (one, first), (two, second) = rest(), rest()
    assert one == two and np.array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stat": 1}, "takes the option state"), ({"state": np.zeros(3)}, "finite numbers"), ({"state": "x"}, "convert")],
)
def test_a_bad_state_is_refused(envs, options, message):
    with pytest.raises(ValueError, match=message):
        envs["AlohaMoveStack"].reset(options=options)


@pytest.mark.parametrize("action", [np.zeros(6), np.full(7, np.nan)])
def test_a_bad_action_is_refused(envs, action):
    env = envs["AlohaMoveStack"]
    env.reset(seed=0)
    with pytest.raises(ValueError, match="7 finite numbers"):
        env.step(action)


def test_stepping_before_reset_and_rendering_without_a_mode_are_refused():
    env = gymnasium.make("dto/AlohaMoveStack-v0").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(7))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="render_mode"):
        env.render()


def test_a_simulation_that_diverges_stops_where_it_was(envs):
    env = envs["AlohaMoveStack"]
    action = hold(env)
    before = env.data.qpos.copy()
    env.data.qvel[0] = 1e12
    observation, *_ = env.step(action)
    assert np.isfinite(observation).all()
    np.testing.assert_array_equal(env.data.qpos, before)
    assert not env.data.qvel.any()
    env.step(action)
    np.testing.assert_allclose(env.data.qpos[:6], before[:6], atol=0.02)


def test_bounds_of_our_scenes_are_the_papers():
    """DiffOG, Table IX, unnormalised bounds in rad."""
    papers = {
        "AlohaArrangeDesk": [0.070, 0.071, 0.102, 0.030, 0.056, 0.148, 0.078, 0.089, 0.105, 0.039, 0.069, 0.120],
        "AlohaMoveStack": [0.049, 0.051, 0.057, 0.045, 0.038, 0.069],
    }
    for task, bounds in papers.items():
        layout = dto_envs.row(f"dto/{task}-v0").layout
        scale = np.array(layout.scale)[list(layout.trajectory)]
        np.testing.assert_allclose(layout.bound * scale, bounds, atol=6e-4)
