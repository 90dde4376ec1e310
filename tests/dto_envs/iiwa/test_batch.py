"""Batches of closed loops: bit for bit the environment's own steps, and honest about how loops end."""

import gymnasium
import mujoco
import numpy as np
import pytest

import dto_envs  # noqa: F401
from dto_envs.iiwa import InfeasibleStartError, constants
from dto_envs.iiwa.batch import simulate
from dto_envs.iiwa.model import goal_state, goal_torque, holding_torque, mujoco_model, sample_start


def computed_torque(states: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """Feedback linearisation, row by row: every joint becomes a critically damped spring of its own."""
    data, mass = mujoco.MjData(mujoco_model()), np.empty((7, 7))
    torques = np.empty((len(states), 7))
    for torque, state in zip(torques, states, strict=True):
        data.qpos[:], data.qvel[:] = state[:7], state[7:]
        mujoco.mj_forward(mujoco_model(), data)
        mujoco.mj_fullM(mujoco_model(), mass, data.qM)
        error = goal_state() - state
        torque[:] = mass @ (25 * error[:7] + 10 * error[7:]) + data.qfrc_bias
    return torques.astype(np.float32)


def starts(count: int, side: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.array([sample_start(rng, side) for _ in range(count)])


def in_the_environment(start: np.ndarray, controller, steps: int) -> tuple[dict, np.ndarray, int]:
    env = gymnasium.make("dto/IiwaReach-v0").unwrapped
    observation, info = env.reset(options={"state": start})
    path = [observation[:14]]
    for _ in range(steps):
        torque = controller(observation[None, :14], observation[None, 21])[0]
        observation, _, terminated, _, info = env.step(torque)
        path.append(observation[:14])
        if terminated:
            break
    return info, np.array(path), len(path) - 1


@pytest.mark.parametrize("threads", [1, 3])
def test_every_loop_is_the_environments_bit_for_bit(threads):
    begin = starts(6)
    loops = simulate(begin, computed_torque, 150, threads=threads, record=True)
    assert loops.success.any() and loops.states is not None
    for row, start in enumerate(begin):
        info, path, steps = in_the_environment(start, computed_torque, 150)
        assert loops.steps[row] == steps
        np.testing.assert_array_equal(loops.states[row, : steps + 1], path)
        assert np.isnan(loops.states[row, steps + 1 :]).all()
        assert loops.cost[row] == info["cost"] and loops.distance[row] == info["distance"]
        assert loops.success[row] == info["success"] and loops.braked[row] == info["braked"]
        assert info["success"] == (loops.time[row] == pytest.approx(steps * 0.01))


def test_runaway_loops_brake_as_the_environment_brakes():
    def runaway(states, elapsed):
        torques = np.array([holding_torque(state[:7]) for state in states])
        torques[:, 6] += np.linspace(0.05, 40, len(states)) * (elapsed < 0.15)
        return torques

    begin = starts(5)
    loops = simulate(begin, runaway, 30, record=True)
    assert loops.braked.any() and not loops.braked.all() and not loops.success.any()
    assert np.isnan(loops.time).all() and (loops.steps == 30).all()
    for row, start in enumerate(begin):
        each = lambda states, elapsed, row=row: runaway(np.repeat(states, 5, 0), np.repeat(elapsed, 5))[[row]]  # noqa: E731
        info, path, _ = in_the_environment(start, each, 30)
        np.testing.assert_array_equal(loops.states[row], path)
        assert loops.cost[row] == info["cost"] and loops.braked[row] == info["braked"]


def test_a_start_at_the_goal_is_over_before_it_began():
    begin = np.stack([goal_state(), goal_state() + 0.1])
    loops = simulate(begin, lambda states, elapsed: np.tile(goal_torque(), (2, 1)), 3)
    np.testing.assert_array_equal(loops.success, [True, False])
    np.testing.assert_array_equal(loops.steps, [0, 3])
    assert loops.cost[0] == 0 and loops.time[0] == 0 and loops.cost[1] > 0.03
    assert loops.states is None and loops.torques is None


def test_the_controller_sees_all_rows_and_the_time():
    seen = []

    def watch(states, elapsed):
        seen.append((states.copy(), elapsed.copy()))
        states[:] = 0  # what a controller does to its arguments stays with it
        return np.tile(goal_torque(), (len(states), 1))

    begin = np.array([goal_state(), *np.concatenate([starts(2), np.zeros((2, 7))], axis=1)])
    simulate(begin, watch, 4)
    assert [len(states) for states, _ in seen] == [3] * 4
    np.testing.assert_allclose([elapsed for _, elapsed in seen], 0.01 * np.arange(4)[:, None] * np.ones(3))
    np.testing.assert_array_equal(seen[3][0][0], goal_state())
    np.testing.assert_array_equal(seen[0][0], begin)


def test_torques_are_recorded_as_commanded_and_executed_clipped():
    command = np.tile(goal_torque() + [500.0, 0, 0, 0, 0, 0, 0], (2, 1))
    wide = simulate(starts(2), lambda x, t: command, 2, record=True)
    np.testing.assert_array_equal(wide.torques, np.stack([command] * 2, axis=1))
    clipped = command.copy()
    clipped[:, 0] = 100.0
    narrow = simulate(
        starts(2), lambda x, t: command, 2, record=True, torque_limits=(100.0, *constants.TORQUE_LIMITS[1:])
    )
    same = simulate(starts(2), lambda x, t: clipped, 2, record=True)
    np.testing.assert_array_equal(narrow.states, same.states)
    assert (narrow.states[:, 1:] != wide.states[:, 1:]).any()


@pytest.mark.parametrize(
    ("begin", "answer", "error", "message"),
    [
        (np.zeros((2, 6)), None, ValueError, r"\(B, 7\) or \(B, 14\)"),
        (np.full((1, 7), np.inf), None, ValueError, "finite"),
        (np.full((1, 7), 2.5), None, InfeasibleStartError, "joint 2"),
        (np.zeros((2, 7)), np.zeros((7,)), ValueError, r"expected \(2, 7\)"),
        (np.zeros((2, 7)), np.array([[0.0] * 7, [np.nan] * 7]), ValueError, r"not finite for starts \[1\]"),
    ],
)
def test_what_cannot_be_simulated_is_refused(begin, answer, error, message):
    with pytest.raises(error, match=message):
        simulate(begin, lambda states, elapsed: answer, 2)


def test_too_weak_an_arm_is_refused():
    with pytest.raises(InfeasibleStartError, match="joint 2 needs"):
        simulate(starts(1), computed_torque, 2, torque_limits=(1.0,) * 7)


def test_the_shared_model_is_untouched():
    before = mujoco_model().opt.timestep, mujoco_model().opt.disableflags
    simulate(starts(2), computed_torque, 2)
    assert (mujoco_model().opt.timestep, mujoco_model().opt.disableflags) == before
