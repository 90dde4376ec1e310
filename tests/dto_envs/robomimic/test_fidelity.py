"""Our loop, resets and restores against robosuite's own."""

import gymnasium as gym
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("robosuite")

from dto_envs.robomimic.build import TASKS, make_robosuite_env, quiet, seed_robosuite_env  # noqa: E402
from dto_envs.robomimic.sensing import robosuite_state_vector  # noqa: E402

# These pass through single precision in robosuite: poses relative to the gripper, and all quaternions of ToolHang.
SINGLE_PRECISION = {"Lift": 7, "Can": 7, "Square": 7, "ToolHang": 42}


@pytest.fixture(scope="module", params=TASKS)
def pair(request):
    """One task twice: the compiled loop and robosuite's own step."""
    return tuple(gym.make(f"dto/{request.param}-v0", terminate_on_success=False, fast=fast) for fast in (True, False))


def random_actions(steps, seed):
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (steps, 7))


def moving_actions(steps, seed):
    """Sweeps that reach full deflection, downwards on the whole, with a gripper that opens and closes."""
    rng = np.random.default_rng(seed)
    phase, period = rng.uniform(0, 2 * np.pi, 7), rng.uniform(15, 40, 7)
    actions = np.sin(2 * np.pi * np.arange(steps)[:, None] / period + phase)
    actions[:, 2] -= 0.2
    return np.clip(1.5 * actions, -1, 1)


def without_parked_objects(env):
    """Positions of the arm, the fingers and the task's object; what robosuite parks far away is left out."""
    simulator = env.unwrapped
    body = simulator.data.body(TASKS[simulator.task].object_body)
    return np.concatenate([simulator.data.qpos[:9], body.xpos, body.xquat])


# Moving actions drive the arm into things after about 30 steps, and from there contacts amplify rounding: robosuite
# itself, started 1e-15 apart, parts as fast.
@pytest.mark.parametrize(("actions", "steps"), [(random_actions, 40), (moving_actions, 28)])
def test_trajectories_are_those_of_robosuite(pair, actions, steps):
    fast, slow = pair
    observation, _ = fast.reset(seed=11)
    expected, _ = slow.reset(seed=11)
    assert np.array_equal(observation, expected)
    for action in actions(steps, seed=3):
        observation, *rest = fast.step(action)
        expected, *expected_rest = slow.step(action)
        assert rest == expected_rest
        assert np.abs(without_parked_objects(fast) - without_parked_objects(slow)).max() <= 1e-9
        rounded = SINGLE_PRECISION[fast.unwrapped.task]
        assert np.abs(observation - expected)[rounded:].max() <= 1e-9
        assert np.abs(observation - expected)[:rounded].max() <= 2e-6


def test_each_step_from_a_shared_state_is_robosuites(pair):
    """Also in contact, where whole trajectories part: single steps from one state must agree."""
    fast, slow = (env.unwrapped for env in pair)
    fast.reset(seed=12)
    slow.reset(seed=12)
    worst = []
    for action in moving_actions(60, seed=4):
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl"):
            getattr(fast.data, name)[:] = getattr(slow.data, name)
        fast.data.time = slow.data.time
        fast.step(action)
        slow.step(action)
        worst.append(np.abs(without_parked_objects(fast) - without_parked_objects(slow)).max())
    assert np.median(worst) <= 1e-14
    assert np.quantile(worst, 0.9) <= 1e-9


def placed(env, position):
    """The initial state of seed 1 with the task's object moved to ``position``."""
    simulator = env.unwrapped
    simulator.reset(seed=1)
    state = simulator.get_state()
    joint = simulator.model.body_jntadr[simulator.model.body(TASKS[simulator.task].object_body).id]
    start = 1 + simulator.model.jnt_qposadr[joint]
    state[start : start + 3] = position
    return state


PLACES = {
    "Lift": ([0.0, 0.0, 0.95], [0.0, 0.0, 0.83]),
    "Can": ([0.19, 0.40, 0.86], [0.19, 0.20, 0.86]),
    "Square": ([0.23, 0.10, 0.84], [0.23, 0.14, 0.84]),
}


def test_success_is_robosuites(pair):
    if pair[0].unwrapped.task not in PLACES:
        pytest.skip("no solved state can be written down")
    done, not_done = PLACES[pair[0].unwrapped.task]
    for position, expected in ((done, True), (not_done, False)):
        for env in pair:
            env.reset(options={"state": placed(env, position)})
            _, reward, _, _, info = env.step(np.zeros(7))
            assert (info["success"], info["score"], reward) == (expected, float(expected), float(expected)), env


def test_resets_are_robosuites_hard_resets():
    for name, task in TASKS.items():
        env = gym.make(f"dto/{name}-v0").unwrapped
        robosuite_env = make_robosuite_env(task, hard_reset=True, seed=77)
        for seed in (0, 100_000) if name == "Lift" else (100_000,):
            observation, _ = env.reset(seed=seed)
            seed_robosuite_env(robosuite_env, seed)
            with quiet():
                raw = robosuite_env.reset()
            assert np.array_equal(env.get_state(), robosuite_env.sim.get_state().flatten())
            assert np.allclose(observation, robosuite_state_vector(raw), rtol=0, atol=1e-15)
            assert_same_model(env.model, robosuite_env.sim.model._model)


def assert_same_model(model, expected):
    for name in dir(expected):
        value = getattr(expected, name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not name.startswith("_"):
            assert np.allclose(getattr(model, name), value, rtol=1e-12, atol=1e-18, equal_nan=True), name
