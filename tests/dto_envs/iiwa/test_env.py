"""Costs, successes, brakes, limits and errors of the reaching environment."""

import gymnasium
import mujoco
import numpy as np
import pytest

import dto_envs
from dto_envs.iiwa import InfeasibleStartError, constants
from dto_envs.iiwa import env as module
from dto_envs.iiwa.dynamics import goal_distance, step_cost, too_fast
from dto_envs.iiwa.model import goal_state, goal_torque, holding_torque, mujoco_model

ID = "dto/IiwaReach-v0"


def make(**kwargs) -> module.IiwaReachEnv:
    return gymnasium.make(ID, **kwargs).unwrapped  # type: ignore[return-value]


def test_the_row_is_what_the_constants_say():
    row = dto_envs.row(ID)
    assert row.layout.high == constants.TORQUE_LIMITS
    assert row.layout.low == tuple(-limit for limit in constants.TORQUE_LIMITS)
    assert row.layout.dt == constants.CONTROL_PERIOD
    assert row.layout.scale == constants.TORQUE_LIMITS


def test_observations_hold_what_their_slices_say():
    env = make()
    observation, info = env.reset(seed=3)
    assert observation.shape == (22,) and observation.dtype == np.float64
    np.testing.assert_array_equal(observation[module.SPEEDS], 0)
    np.testing.assert_array_equal(observation[module.GOAL_ANGLES], constants.GOAL)
    assert observation[module.ELAPSED] == 0
    assert info["distance"] == pytest.approx(np.linalg.norm(observation[module.STATE] - goal_state()))
    for _ in range(3):
        observation = env.step(holding_torque(observation[module.ANGLES]))[0]
    assert observation[module.ELAPSED] == pytest.approx(0.03)
    np.testing.assert_array_equal(observation[module.STATE], env.state)


@pytest.mark.parametrize("side", constants.SIDES)
def test_the_side_is_the_difficulty(side):
    env = make(side=side)
    center = np.add(constants.GOAL, constants.START_OFFSET)
    offsets = np.array([env.reset(seed=seed)[0][:7] - center for seed in range(200)])
    assert 0.45 * side < np.abs(offsets).max() <= 0.5 * side


def test_a_step_is_four_steps_of_mujoco_under_one_torque():
    env = make()
    env.reset(seed=0)
    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:] = env.state[:7]
    torque = holding_torque(env.state[:7]) + np.linspace(-3, 3, 7) * [5, 5, 5, 5, 1, 0.3, 0.01]
    env.step(torque)
    data.ctrl[:] = torque
    for _ in range(4):
        mujoco.mj_step(model, data)
    np.testing.assert_array_equal(env.state, np.concatenate([data.qpos, data.qvel]))
    assert data.time == pytest.approx(0.01)


def test_the_cost_is_the_integral_of_the_running_cost():
    """Against a fine trapezoidal rule on MuJoCo's own accelerations."""
    env = make(terminate_on_success=False)
    observation, _ = env.reset(seed=1)
    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:] = observation[:7]
    torque = goal_torque() + np.array([2.0, 10.0, -2.0, -5.0, 0.1, 0.1, 0.002])
    fine = 100

    def rate() -> float:
        mujoco.mj_forward(model, data)
        effort, motion = torque - goal_torque(), data.qacc
        return 1.0 + 0.002 * effort @ effort + 0.01 * motion @ motion

    original = model.opt.timestep
    model.opt.timestep = 0.1 / (10 * fine)
    try:
        data.ctrl[:] = torque
        rates = [rate()]
        for _ in range(10 * fine):
            mujoco.mj_step(model, data)
            rates.append(rate())
    finally:
        model.opt.timestep = original
    expected = np.trapezoid(rates, dx=1e-4) if hasattr(np, "trapezoid") else np.trapz(rates, dx=1e-4)
    rewards = [env.step(torque)[1] for _ in range(10)]
    assert -sum(rewards) == pytest.approx(expected, rel=1e-3)
    assert env.step(torque)[4]["cost"] > -sum(rewards)


def test_holding_the_goal_costs_time_alone():
    speeds = np.zeros((constants.SUBSTEPS + 1, 7))
    assert step_cost(goal_torque(), speeds) == pytest.approx(0.01)
    assert step_cost(goal_torque() + [10, 0, 0, 0, 0, 0, 0], speeds) == pytest.approx(0.01 * (1 + 0.002 * 100))
    speeds[1:, 3] = [0.1, 0.2, 0.3, 0.4]  # 40 rad/s^2 throughout
    assert step_cost(goal_torque(), speeds) == pytest.approx(0.01 * (1 + 0.01 * 1600))


def near_goal() -> np.ndarray:
    """A state that comes to rest at the goal under the holding torque of the goal, within the radius of success."""
    return np.concatenate([np.add(constants.GOAL, 0.02), np.zeros(7)])


def test_rewards_are_minus_the_cost_until_the_goal_is_reached():
    env = make(terminate_on_success=False)
    far = np.add(constants.GOAL, 0.3)
    env.reset(options={"state": far})
    rewards = [env.step(holding_torque(far))[1] for _ in range(5)]
    assert all(reward < 0 for reward in rewards)
    info = env.step(holding_torque(far))[4]
    assert info["cost"] > -sum(rewards) > 0 and not info["success"]

    env.reset(options={"state": near_goal()})
    observation, reward, terminated, _, info = env.step(goal_torque())
    assert info["success"] and info["score"] == 1.0 and not terminated
    assert reward == 0.0 and info["cost"] == 0.0  # it began within the radius: nothing is left to pay for


def test_success_counts_speeds_as_well():
    env = make()
    passing = np.concatenate([constants.GOAL, [0, 0, 0, 0, 0, 0, 0.2]])
    _, info = env.reset(options={"state": passing})
    assert not info["success"] and info["distance"] == pytest.approx(0.2)
    assert goal_distance(goal_state()) == 0


def test_the_score_is_the_best_share_of_the_way_and_never_falls():
    env = make()
    far = np.add(constants.GOAL, 0.3)
    towards = np.concatenate([far, -0.05 * np.ones(7)])
    env.reset(options={"state": towards})
    initial = goal_distance(towards)
    scores, distances = [], []
    for step in range(40):
        torque = holding_torque(env.state[:7]) + (1.0 if step < 20 else -1.0) * np.array([0.1, 0.1, 0.1, 0, 0, 0, 0])
        info = env.step(torque)[4]
        scores.append(info["score"])
        distances.append(info["distance"])
    assert all(later >= earlier for earlier, later in zip(scores, scores[1:], strict=False))
    assert scores[-1] == pytest.approx(max(0.0, 1 - min(distances) / initial))
    assert 0 < scores[-1] < 1


def test_torques_are_clipped_to_the_limits():
    states = []
    for factor in (1.0, 7.0):
        env = make()
        env.reset(seed=2)
        torque = holding_torque(env.state[:7])
        torque[0] = 320.0 * factor
        env.step(torque)
        states.append(env.state)
    np.testing.assert_array_equal(*states)


def test_brakes_lock_a_runaway_arm_for_good():
    env = make()
    env.reset(seed=0)
    runaway = holding_torque(env.state[:7])
    runaway[6] = 40.0
    infos = []
    for _ in range(5):
        observation, reward, terminated, _, info = env.step(runaway)
        infos.append(info)
        if info["braked"]:
            break
    assert infos[-1]["braked"] and not terminated
    np.testing.assert_array_equal(observation[module.SPEEDS], 0)
    assert reward < -100  # such accelerations are dear
    still = env.step(goal_torque())
    np.testing.assert_array_equal(still[0][module.STATE], observation[module.STATE])
    assert still[1] == pytest.approx(-0.01) and still[4]["braked"] and still[4]["distance"] == infos[-1]["distance"]
    assert not env.reset(seed=0)[1]["braked"]


def test_braking_at_the_goal_is_no_success():
    env = make()
    fast = np.concatenate([constants.GOAL, [0, 0, 0, 0, 0, 0, -99.0]])
    torque = goal_torque().copy()
    torque[6] = -40.0
    for _ in range(2):  # the second time from where the brakes lock at the goal
        env.reset(options={"state": fast})
        info = env.step(torque)[4]
        fast[:7] += constants.GOAL - env.state[:7]
    assert info["distance"] < 0.1 and info["braked"]
    assert not info["success"] and info["score"] < 1


@pytest.mark.parametrize("speeds", [np.zeros(7), np.array([0, 0, 0, -100.0, 0, 0, 0])])
def test_a_hundred_radians_a_second_is_just_allowed(speeds):
    assert not too_fast(speeds)
    assert too_fast(speeds - [0, 0, 0, 100.1, 0, 0, 0])


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (np.zeros(6), ValueError, "7 joint angles"),
        (np.full(14, np.nan), ValueError, "finite"),
        (np.array([0, 2.2, 0, 0, 0, 0, 0]), InfeasibleStartError, "joint 2 at 2.200 rad"),
        (np.array([0.0] * 13 + [101.0]), ValueError, "100 rad/s"),
        (np.array([0.0] * 13 + [1e9]), ValueError, "100 rad/s"),
    ],
)
def test_starts_that_cannot_be_are_refused(state, error, message):
    env = make()
    env.reset(seed=0)
    before = env.state
    with pytest.raises(error, match=message):
        env.reset(options={"state": state})
    np.testing.assert_array_equal(env.state, before)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"side": 3.0}, ValueError, "side is 3.0; choose one of 0.4, 1.0, 2.0"),
        ({"torque_limits": [100.0] * 6}, ValueError, "7 positive numbers"),
        ({"torque_limits": [1000.0] * 7}, ValueError, "at most"),
        ({"torque_limits": [10.0] * 7}, InfeasibleStartError, "joint 2 needs 56.95 Nm of 10.00"),
    ],
)
def test_arguments_that_cannot_be_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_narrower_torque_limits_are_obeyed_and_told():
    limits = [100.0, 100.0, 50.0, 50.0, 20.0, 10.0, 10.0]
    env = make(torque_limits=limits)
    np.testing.assert_array_equal(env.action_space.high, limits)
    assert env.action_layout.high == tuple(limits) and env.action_layout.bound == 0.01
    np.testing.assert_allclose(env.action_layout.normalize(np.array(limits)), 1)
    wide, start = make(), np.add(constants.GOAL, 0.2)
    for each, torque in ((env, np.full(7, 300.0) * [1, 0, 0, 0, 0, 0, 0]), (wide, np.array([100.0, 0, 0, 0, 0, 0, 0]))):
        each.reset(options={"state": start})
        each.step(torque)
    np.testing.assert_array_equal(env.state, wide.state)


@pytest.mark.parametrize("action", [np.zeros(6), np.array([np.nan] + [0.0] * 6), np.zeros((1, 7))])
def test_actions_that_cannot_be_are_refused(action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="seven finite torques"):
        env.step(action)


def test_a_step_before_a_reset_is_refused():
    env = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(7))
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"goal": 1})


def test_everything_stays_finite_under_random_torques():
    env = make(side=2.0)
    rng = np.random.default_rng(0)
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(20):
            observation, reward, *_ = env.step(rng.uniform(-1, 1, 7) * constants.TORQUE_LIMITS)
            assert env.observation_space.contains(observation) and np.isfinite(reward)
