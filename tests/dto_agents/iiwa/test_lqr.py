"""The regulator against scipy's algebraic equation, an ODE solver and a direct optimisation; its agent in the arm."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from dto_agents.catalogue import make_agent
from dto_agents.iiwa.lqr import LinearQuadraticProblem, LqrAgent, goal_regulator, linear_quadratic_problem, solve
from dto_envs.iiwa import constants
from dto_envs.iiwa.batch import simulate
from dto_envs.iiwa.dynamics import goal_distance
from dto_envs.iiwa.model import goal_state, goal_torque, pinocchio_model, sample_start

ID = "dto/IiwaReach-v0"


@pytest.fixture(scope="module")
def problem() -> LinearQuadraticProblem:
    return linear_quadratic_problem()


def riccati(problem: LinearQuadraticProblem, value: np.ndarray) -> np.ndarray:
    """dP/dtau, written out as in the textbook."""
    mixed = value @ problem.b + problem.s
    return problem.q + problem.a.T @ value + value @ problem.a - mixed @ np.linalg.inv(problem.r) @ mixed.T


def test_the_linear_arm_is_pinocchios(problem):
    pinocchio = pytest.importorskip("pinocchio")
    model = pinocchio_model()
    scratch = model.createData()
    goal = np.array(constants.GOAL)
    pinocchio.computeABADerivatives(model, scratch, goal, np.zeros(7), goal_torque())
    np.testing.assert_allclose(problem.a[7:, :7], scratch.ddq_dq, atol=1e-6 * np.abs(scratch.ddq_dq).max())
    np.testing.assert_allclose(problem.a[7:, 7:], scratch.ddq_dv, atol=1e-12)
    inverse = np.triu(scratch.Minv) + np.triu(scratch.Minv, 1).T
    np.testing.assert_allclose(problem.b[7:], inverse, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(problem.a[:7], np.hstack([np.zeros((7, 7)), np.eye(7)]))
    np.testing.assert_array_equal(problem.b[:7], 0)


def test_the_weights_are_the_environments(problem):
    """The quadratic form of (x, u) is r2 |u|^2 + r3 |a|^2."""
    rng = np.random.default_rng(0)
    for x, u in zip(rng.normal(size=(5, 14)), rng.normal(size=(5, 7)), strict=True):
        acceleration = (problem.a @ x + problem.b @ u)[7:]
        expected = 0.002 * u @ u + 0.01 * acceleration @ acceleration
        assert x @ problem.q @ x + 2 * x @ problem.s @ u + u @ problem.r @ u == pytest.approx(expected)


def test_short_horizons_solve_the_riccati_equation(problem):
    """Radau needs a softer end than the problem's, whose first millisecond is stiff beyond its tolerance."""
    soft = replace(problem, terminal=np.eye(14))
    regulator = solve(soft, longest=0.3)
    reference = scipy.integrate.solve_ivp(
        lambda _, flat: riccati(soft, flat.reshape(14, 14)).ravel(),
        (0.0, 0.3),
        soft.terminal.ravel(),
        method="Radau",
        t_eval=[0.01, 0.05, 0.3],
        rtol=1e-10,
        atol=1e-12,
    )
    for entry, flat in zip((10, 50, 300), reference.y.T, strict=True):
        np.testing.assert_allclose(regulator.values[entry], flat.reshape(14, 14), rtol=1e-6, atol=1e-8)


def test_every_entry_satisfies_the_riccati_equation(problem):
    regulator = goal_regulator()
    for entry in (100, 500, 1500, 3500):
        slope = (regulator.values[entry + 1] - regulator.values[entry - 1]) / (2 * regulator.step)
        expected = riccati(problem, regulator.values[entry])
        scale = np.abs(regulator.values[entry]).max()
        np.testing.assert_allclose(slope, expected, atol=1e-2 * scale)
        np.testing.assert_array_equal(regulator.values[entry], regulator.values[entry].T)
        assert np.linalg.eigvalsh(regulator.values[entry]).min() > 0


def test_the_step_does_not_matter():
    problem = linear_quadratic_problem()
    coarse, fine = solve(problem, longest=1.0, step=0.01), solve(problem, longest=1.0, step=0.0005)
    for entry in (1, 5, 30, 100):
        scale = np.abs(fine.values[20 * entry]).max()
        np.testing.assert_allclose(coarse.values[entry], fine.values[20 * entry], atol=1e-7 * scale)


def test_long_horizons_solve_the_algebraic_equation(problem):
    """Joints 1 and 7 feel no gravity: without a price on angles, no finite gain is best for ever. So add one."""
    priced = replace(problem, q=problem.q + np.eye(14))
    expected = scipy.linalg.solve_continuous_are(priced.a, priced.b, priced.q, priced.r, s=priced.s)
    regulator = solve(priced, longest=30.0, step=0.01)
    np.testing.assert_allclose(regulator.values[-1], expected, rtol=1e-6, atol=1e-8)
    gain = np.linalg.solve(priced.r, priced.b.T @ expected + priced.s.T)
    np.testing.assert_allclose(regulator.gains[-1], gain, rtol=1e-6, atol=1e-6)


def test_no_torques_do_better_on_the_linear_arm(problem):
    """The promised cost is that of the feedback, and other torques cost more."""
    regulator, tau = goal_regulator(), 0.4
    x0 = np.concatenate([np.full(7, 0.1), np.zeros(7)])

    def cost(change: float) -> float:
        def slope(time, y):
            u = -regulator.gain(np.array(tau - time), 0.0) @ y[:14] + change * np.sin(9 * time + np.arange(7))
            derivative = problem.a @ y[:14] + problem.b @ u
            running = 0.002 * u @ u + 0.01 * derivative[7:] @ derivative[7:]
            return np.append(derivative, running)

        end = scipy.integrate.solve_ivp(slope, (0, tau), np.append(x0, 0.0), method="Radau", rtol=1e-5, atol=1e-8)
        return end.y[14, -1] + constants.TERMINAL_WEIGHT * end.y[:14, -1] @ end.y[:14, -1]

    promised = regulator.cost(goal_state() + x0, np.array(tau)) - constants.TIME_WEIGHT * tau
    # In the last millisecond the gain changes faster than its table, which costs a little.
    assert promised <= cost(0.0) <= 1.02 * promised
    assert cost(0.3) > 1.02 * promised


def test_tables_are_read_between_and_beyond_their_entries():
    regulator = goal_regulator()
    times = np.array([[0.0515, 0.3], [1.0, 99.0]])
    gains = regulator.gain(times)
    assert gains.shape == (2, 2, 7, 14)
    np.testing.assert_allclose(gains[0, 0], (regulator.gains[51] + regulator.gains[52]) / 2)
    np.testing.assert_allclose(gains[1, 0], regulator.gains[1000])
    np.testing.assert_allclose(gains[1, 1], regulator.gains[-1])
    np.testing.assert_allclose(regulator.gain(np.array(-1.0)), regulator.gains[50], rtol=1e-9)
    np.testing.assert_allclose(regulator.value(np.array(regulator.longest)), regulator.values[-1])


def test_the_best_time_is_the_cheapest_of_the_table():
    rng = np.random.default_rng(0)
    regulator = goal_regulator()
    states = np.array([np.concatenate([sample_start(rng), rng.normal(size=7)]) for _ in range(5)])
    times = np.arange(0.05, 4.0, 0.01)
    costs = np.array([regulator.cost(states, np.full(5, time)) for time in times])
    np.testing.assert_allclose(regulator.best_time(states), times[costs.argmin(axis=0)], atol=1e-9)
    assert (np.diff(costs, axis=0)[0] < 0).all()  # hurrying is dear


@pytest.mark.parametrize("longest, step", [(0.0, 0.001), (1.0, 0.0), (0.001, 0.01)])
def test_impossible_tables_are_refused(longest, step):
    with pytest.raises(ValueError, match="0 < step <= longest"):
        solve(linear_quadratic_problem(), longest=longest, step=step)


def test_near_the_goal_the_feedback_arrives_and_costs_what_it_promised():
    rng = np.random.default_rng(2)
    regulator = goal_regulator()
    starts = constants.GOAL + rng.uniform(-0.1, 0.1, (20, 7))
    states = np.concatenate([starts, np.zeros_like(starts)], axis=1)
    times = np.full(20, 1.0)
    loops = simulate(starts, lambda x, t: regulator.torque(x, times - t), 100, record=True)
    assert loops.success[goal_distance(states) > 0.1].all()
    # Beyond the radius of success the feedback goes on to the goal itself.
    still = loops.states[np.arange(20), loops.steps]
    assert (goal_distance(still) < 0.1).all()
    assert (loops.cost <= regulator.cost(states, times) * 1.1 + 0.02).all()


def test_the_agent_reaches_goals_and_repeats_itself():
    agent = make_agent("iiwa-lqr", ID)
    assert isinstance(agent, LqrAgent)

    def episodes(seeds: list[int]) -> list[tuple[bool, bytes]]:
        envs = [gymnasium.make(ID, side=0.4) for _ in seeds]
        observations = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
        agent.reset(seeds)
        ends, infos = [False] * len(seeds), [{}] * len(seeds)
        for _ in range(300):
            actions = agent.act(np.array(observations))
            assert actions.shape == (len(seeds), 7) and actions.dtype == np.float32
            assert (np.abs(actions) <= constants.TORQUE_LIMITS).all()
            for row, env in enumerate(envs):
                if not ends[row]:
                    observations[row], _, ends[row], _, infos[row] = env.step(actions[row])
        return [(info["success"], observation.tobytes()) for info, observation in zip(infos, observations, strict=True)]

    together = episodes([1, 2, 3, 4])
    assert sum(success for success, _ in together) >= 3
    assert episodes([3]) == together[2:3]


def test_the_agent_acts_in_one_environment_only():
    with pytest.raises(ValueError, match="IiwaReach-v0 only, not in dto/PushT-v0"):
        make_agent("iiwa-lqr", "dto/PushT-v0")
