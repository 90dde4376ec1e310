"""Our loop, resets and restores against robosuite's own."""

import gymnasium as gym
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("robosuite")

from dto_envs.robomimic.build import TASKS, make_robosuite_env, quiet, seed_robosuite_env  # noqa: E402
from dto_envs.robomimic.sensing import robosuite_state_vector  # noqa: E402

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
# itself, started 1e-15 apart, parts as fast. Transport's bins rock on their tables from the sixth step on.
@pytest.mark.parametrize(("actions", "steps"), [(random_actions, 40), (moving_actions, 28)])
def test_trajectories_are_those_of_robosuite(pair, actions, steps):
    fast, slow = pair
    task = fast.unwrapped.task
    observation, _ = fast.reset(seed=11)
    expected, _ = slow.reset(seed=11)
    assert np.array_equal(observation, expected)
    for action in actions(fast, 5 if task == "Transport" else steps, seed=3):
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
    worst = []
    for action in moving_actions(fast, 60, seed=4):
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
            _, reward, _, _, info = env.step(np.zeros(env.action_space.shape))
            assert (info["success"], info["score"], reward) == (expected, float(expected), float(expected)), env


def test_resets_are_robosuites_hard_resets():
    for name, task in TASKS.items():
        env = gym.make(f"dto/{name}-v0").unwrapped
        robosuite_env = make_robosuite_env(task, hard_reset=True, seed=77)
        for seed in (0, 100_000) if task.sampled is not None else (100_000,):
            observation, _ = env.reset(seed=seed)
            seed_robosuite_env(robosuite_env, seed)
            with quiet():
                raw = robosuite_env.reset()
            assert np.array_equal(env.get_state(), robosuite_env.sim.get_state().flatten())
            assert np.allclose(observation, robosuite_state_vector(raw, task.arms), rtol=0, atol=1e-15)
            assert_same_model(env.model, robosuite_env.sim.model._model)


def assert_same_model(model, expected):
    for name in dir(expected):
        value = getattr(expected, name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not name.startswith("_"):
            assert np.allclose(getattr(model, name), value, rtol=1e-12, atol=1e-18, equal_nan=True), name
