"""Our loop, resets and restores against robosuite's own."""

import gymnasium as gym
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dto_envs  # noqa: F401

pytest.importorskip("robosuite")

from dto_envs.robomimic.build import TASKS, make_robosuite_env, quiet, seed_robosuite_env  # noqa: E402
from dto_envs.robomimic.sensing import robosuite_state_vector  # noqa: E402
from dto_envs.robomimic.window import restart_controller  # noqa: E402

# These pass through single precision in robosuite: poses relative to the gripper, and quaternions it makes of matrices.
SINGLE_PRECISION = {
    "Lift": np.arange(0),
    "Can": np.arange(7),
    "Square": np.arange(7),
    "ToolHang": np.arange(42),
    "Transport": np.array([3, 4, 5, 6, 10, 11, 12, 13, 17, 18, 19, 20]),
}


@pytest.fixture(scope="module", params=TASKS)
def pair(request):
    """One task twice: the compiled loop and robosuite's own step."""
    return tuple(gym.make(f"dto/{request.param}-v0", terminate_on_success=False, fast=fast) for fast in (True, False))


def random_actions(env, steps, seed):
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (steps, env.action_space.shape[0]))


def moving_actions(env, steps, seed):
    """Sweeps that reach full deflection, downwards on the whole, with grippers that open and close."""
    rng = np.random.default_rng(seed)
    phase, period = rng.uniform(0, 2 * np.pi, 7), rng.uniform(15, 40, 7)
    actions = np.sin(2 * np.pi * np.arange(steps)[:, None] / period + phase)
    actions[:, 2] -= 0.2
    return np.tile(np.clip(1.5 * actions, -1, 1), len(env.action_space.low) // 7)


def without_parked_objects(env):
    """Positions of the arms, the fingers and the task's object; what robosuite parks far away is left out."""
    simulator = env.unwrapped
    task = TASKS[simulator.task]
    body = simulator.data.body(task.object_body)
    return np.concatenate([simulator.data.qpos[: 9 * task.arms], body.xpos, body.xquat])


def assert_same_observation(task, observation, expected):
    error = np.abs(observation - expected)
    assert error[SINGLE_PRECISION[task]].max(initial=0) <= 2e-6
    assert np.delete(error, SINGLE_PRECISION[task]).max() <= 1e-9


# Moving actions drive the arm into things after about 30 steps, and from there contacts amplify rounding: robosuite
# itself, started 1e-15 apart, parts as fast. Transport's bins rock on their tables from the sixth step on, and Square's
# nut comes to rest from the sixteenth to the nineteenth, where the last bit decides by 1e-6 how it lies.
BEFORE_CONTACTS_AMPLIFY = {"Transport": 5, "Square": 15}


@pytest.mark.parametrize(("actions", "steps"), [(random_actions, 40), (moving_actions, 28)])
def test_trajectories_are_those_of_robosuite(pair, actions, steps):
    fast, slow = pair
    task = fast.unwrapped.task
    observation, _ = fast.reset(seed=11)
    expected, _ = slow.reset(seed=11)
    assert np.array_equal(observation, expected)
    for action in actions(fast, BEFORE_CONTACTS_AMPLIFY.get(task, steps), seed=3):
        observation, *rest = fast.step(action)
        expected, *expected_rest = slow.step(action)
        assert rest == expected_rest
        assert np.abs(without_parked_objects(fast) - without_parked_objects(slow)).max() <= 1e-9
        assert_same_observation(task, observation, expected)


def test_each_step_from_a_shared_state_is_robosuites(pair):
    """Also in contact, where whole trajectories part: single steps from one state must agree."""
    fast, slow = (env.unwrapped for env in pair)
    fast.reset(seed=12)
    slow.reset(seed=12)
    worst, observed = [], []
    for action in moving_actions(fast, 60, seed=4):
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl"):
            getattr(fast.data, name)[:] = getattr(slow.data, name)
        fast.data.time = slow.data.time
        observation, expected = fast.step(action)[0], slow.step(action)[0]
        worst.append(np.abs(without_parked_objects(fast) - without_parked_objects(slow)).max())
        observed.append(np.delete(observation - expected, SINGLE_PRECISION[fast.task]))
    assert np.median(worst) <= 1e-14
    assert np.quantile(worst, 0.9) <= 1e-9
    assert np.quantile(np.abs(observed).max(axis=1), 0.9) <= 1e-9


def put(simulator, state, body, position, rotation=None):
    """Move a free body within a flattened state."""
    start = 1 + simulator.model.jnt_qposadr[simulator.model.body_jntadr[simulator.model.body(body).id]]
    state[start : start + 3] = position
    if rotation is not None:
        state[start + 3 : start + 7] = Rotation.from_matrix(rotation).as_quat()[[3, 0, 1, 2]]


def toolhang_state(simulator, state, done):
    """The frame in the stand, the tool round the hook (done) or 3 cm below it; the arm is turned aside."""
    data = simulator.data
    frame, tool = data.body("frame_root"), data.body("tool_root")
    tip, corner, end = (data.site(f"frame_{name}_site").xpos for name in ("tip", "intersection", "hang"))
    from_tip = frame.xmat.reshape(3, 3).T @ np.array([frame.xpos - tip, (corner + end) / 2 - tip]).T
    to_tool = tool.xmat.reshape(3, 3).T @ (tool.xpos - data.site("tool_hole1_center").xpos)
    upright, hanging = np.diag([-1.0, -1.0, 1.0]), np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    hole = np.array([-0.08, 0.045, 0.812])
    put(simulator, state, "frame_root", hole + upright @ from_tip[:, 0], upright)
    below = np.array([0, 0, 0.006 if done else 0.03])
    put(simulator, state, "tool_root", hole + upright @ from_tip[:, 1] - below + hanging @ to_tool, hanging)
    state[1] -= 1.0


def transport_state(simulator, state, done):
    """Hammer and trash in their bins (done), or the trash in the hammer's bin."""
    target, waste = (simulator.data.body(f"transport_{name}_bin_root").xpos for name in ("target", "trash"))
    put(simulator, state, "payload_root", target + [0.05, 0, -0.05])
    put(simulator, state, "trash_main", (waste if done else target) + [-0.06, 0, -0.05])


PLACES = {
    "Lift": ([0.0, 0.0, 0.95], [0.0, 0.0, 0.83]),
    "Can": ([0.19, 0.40, 0.86], [0.19, 0.20, 0.86]),
    "Square": ([0.23, 0.10, 0.84], [0.23, 0.14, 0.84]),
}
STATES = {"ToolHang": toolhang_state, "Transport": transport_state}


def staged(env, done):
    """The initial state of seed 1 with the task's objects where they belong, or nearly there."""
    simulator = env.unwrapped
    simulator.reset(seed=1)
    state = simulator.get_state()
    if simulator.task in STATES:
        STATES[simulator.task](simulator, state, done)
    else:
        put(simulator, state, TASKS[simulator.task].object_body, PLACES[simulator.task][0 if done else 1])
    return state


@pytest.mark.parametrize("done", [True, False])
def test_success_is_robosuites(pair, done):
    flags = {"ToolHang": [42, 43], "Transport": [27, 28]}.get(pair[0].unwrapped.task, [])
    state = staged(pair[0], done)
    for env in pair:
        env.reset(options={"state": state})
    for _ in range(5):
        seen, expected = (env.step(np.zeros(env.action_space.shape)) for env in pair)
        assert seen[1:] == expected[1:]
        assert np.array_equal(seen[0][flags], expected[0][flags])
    assert seen[4]["score"] == float(done)


def test_resets_are_robosuites_hard_resets():
    """And the first steps after them, once robosuite's controllers have read the mass matrix with the fingers open.

    Its reset reads it before it opens them, and the first torque comes from that: 1e-7 rad after the first action.
    """
    for name, task in TASKS.items():
        env = gym.make(f"dto/{name}-v0").unwrapped
        robosuite_env = make_robosuite_env(task, hard_reset=True, seed=77)
        observation, _ = env.reset(seed=100_000)
        seed_robosuite_env(robosuite_env, 100_000)
        with quiet():
            raw = robosuite_env.reset()
        assert np.array_equal(env.get_state(), robosuite_env.sim.get_state().flatten())
        assert np.allclose(observation, robosuite_state_vector(raw, task.arms), rtol=0, atol=1e-15)
        assert_same_model(env.model, robosuite_env.sim.model._model)
        restart_controller(robosuite_env)
        for action in random_actions(env, 4, seed=5):
            observation, reward, *_ = env.step(action)
            raw, expected_reward, _, _ = robosuite_env.step(action)
            assert reward == expected_reward
            assert_same_observation(name, observation, robosuite_state_vector(raw, task.arms))


def assert_same_model(model, expected):
    for name in dir(expected):
        value = getattr(expected, name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not name.startswith("_"):
            assert np.allclose(getattr(model, name), value, rtol=1e-12, atol=1e-18, equal_nan=True), name
