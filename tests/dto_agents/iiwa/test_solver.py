"""Optimal trajectories are what they say: stationary, consistent, inside the limits; and failures are said."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("crocoddyl")
pytest.importorskip("mujoco")

from dto_agents.iiwa.marching import march
from dto_agents.iiwa.problem import ReachingProblem, Transcription, Workshop
from dto_agents.iiwa.solver import FixedSolution, OpenLoopSolver, SolverOptions, reaching_cost
from dto_agents.iiwa.trajectory import Guess, Status
from dto_envs.iiwa import constants
from dto_envs.iiwa.model import sample_start

CENTER = np.add(constants.GOAL, constants.START_OFFSET)


def at_rest(angles) -> np.ndarray:
    return np.concatenate([angles, np.zeros(7)])


@pytest.fixture(scope="module")
def solver():
    return OpenLoopSolver()


@pytest.fixture(scope="module")
def best(solver):
    return solver.solve(at_rest(CENTER))


def test_the_gradient_in_time_is_that_of_differences(solver):
    start, step = at_rest(sample_start(np.random.default_rng(3))), 1e-3
    for duration in (0.8, 1.2):
        at = solver.solve_fixed(start, duration, solver.first_guess(start))
        sides = [solver.solve_fixed(start, duration + change, at.guess).cost for change in (-step, step)]
        assert at.gradient == pytest.approx((sides[1] - sides[0]) / (2 * step), rel=2e-5, abs=2e-5)


def test_the_gradient_at_fixed_torques_is_that_of_differences():
    workshop, start = Workshop(ReachingProblem()), at_rest(CENTER)
    torques = [workshop.problem.holding_torque(CENTER) * factor for factor in np.linspace(0.95, 1.05, 30)]

    def cost(duration: float) -> float:
        at = Transcription(workshop, start, duration, 30)
        return at.cost(at.shooting.calc(at.shooting.rollout(torques), torques))

    step = 1e-6
    difference = (cost(0.3 + step) - cost(0.3 - step)) / (2 * step)
    cost(0.3)
    transcription = Transcription(workshop, start, 0.3, 30)
    transcription.shooting.calcDiff(transcription.shooting.rollout(torques), torques)
    assert transcription.duration_gradient() == pytest.approx(difference, rel=1e-6)


def test_an_answer_is_a_trajectory_of_the_arm_in_unit_steps(solver, best):
    assert best.solved and best.message == ""
    steps = len(best.torques)
    assert best.states.shape == (steps + 1, 14) and best.gains.shape == (steps, 7, 14)
    assert best.duration == pytest.approx(steps * constants.CONTROL_PERIOD)
    np.testing.assert_allclose(np.diff(best.times), constants.CONTROL_PERIOD)
    np.testing.assert_array_equal(best.states[0], at_rest(CENTER))
    speeds = best.states[:-1, 7:] + 0.01 * solver.problem.accelerations(best.states[:-1], best.torques)
    np.testing.assert_allclose(best.states[1:, 7:], speeds, atol=1e-9)
    np.testing.assert_allclose(best.states[1:, :7], best.states[:-1, :7] + 0.01 * speeds, atol=1e-9)
    assert np.linalg.norm(best.states[-1] - solver.problem.goal_state) < constants.SUCCESS_RADIUS
    assert (np.abs(best.torques) <= constants.TORQUE_LIMITS).all()


def test_the_cost_is_the_integral_and_no_duration_is_better(solver, best):
    accelerations = solver.problem.accelerations(best.states[:-1], best.torques)
    running = 0.01 * solver.problem.running_cost(best.torques, accelerations).sum()
    distance = best.states[-1] - solver.problem.goal_state
    assert best.cost == pytest.approx(running + constants.TERMINAL_WEIGHT * distance @ distance, rel=1e-9)
    assert 0 < best.reaching_cost <= running
    steps = len(best.torques)
    for other in (steps - 3, steps + 3):
        found = solver.solve_fixed(at_rest(CENTER), other * 0.01, best.guess, counts=(other,))
        assert found.converged and found.cost > best.cost


def test_noise_on_the_torques_costs_more(solver, best):
    workshop, rng = Workshop(solver.problem), np.random.default_rng(0)
    problem = Transcription(workshop, best.states[0], best.duration, len(best.torques))
    for _ in range(5):
        torques = list(best.torques + 0.02 * rng.standard_normal(best.torques.shape))
        assert problem.cost(problem.shooting.calc(problem.shooting.rollout(torques), torques)) > best.cost


def test_it_goes_on_from_the_middle_of_an_optimum(solver, best):
    middle = len(best.torques) // 2
    rest = solver.solve(best.states[middle], guess=best.remaining(middle), first_duration=best.duration / 2)
    assert rest.solved
    assert rest.duration == pytest.approx(best.duration - best.times[middle], abs=0.011)
    np.testing.assert_allclose(rest.torques[0], best.torques[middle], rtol=0.05, atol=0.5)


def test_slopes_of_time_and_torque_are_those_of_other_optima(solver, best):
    exact = OpenLoopSolver(solver.problem, SolverOptions(tolerance=1e-6))
    rates = np.diff(best.states, axis=0) / 0.01
    np.testing.assert_allclose(np.einsum("ki,ki->k", best.time_slopes, rates), -1, rtol=1e-9)
    step = len(best.torques) // 2
    for move in 0.003 * np.random.default_rng(0).standard_normal((3, 14)) * np.repeat([1, 5], 7):
        ends = []
        for sign in (-1, 1):
            start = best.states[step] + sign * move
            found, _, _ = exact._search(start, best.remaining(step), best.duration / 2)
            ends.append((found.duration, found.guess.torques[0]))
        times, torques = ((ends[1][k] - ends[0][k]) / 2 for k in range(2))
        assert times == pytest.approx(best.time_slopes[step] @ move, abs=3e-4)
        np.testing.assert_allclose(torques, -best.free_gains[step] @ move, atol=0.03)


def test_a_good_and_a_marched_guess_lead_to_the_same_optimum(solver, best):
    marched = OpenLoopSolver(solver.problem, SolverOptions(marching=(50,))).solve(at_rest(CENTER))
    assert marched.cost == pytest.approx(best.cost, rel=1e-6)
    np.testing.assert_allclose(marched.torques, best.torques, atol=0.02)


def test_it_refuses_starts_outside_the_joint_limits(solver):
    start = at_rest(CENTER)
    start[3] = -2.2
    answer = solver.solve(start)
    assert answer.status is Status.OUTSIDE_JOINT_LIMITS and "joint 4 starts at -2.200" in answer.message
    assert answer.torques.shape == (0, 7) and np.isinf(answer.cost) and not answer.solved


@pytest.mark.parametrize("joint, what", [(1, "holding the start takes"), (0, "the optimum takes")])
def test_it_names_torque_limits_that_cannot_be_met(joint, what, best):
    limits = np.array(constants.TORQUE_LIMITS)
    limits[joint] = 0.9 * np.abs(best.torques[:, joint]).max() if joint == 0 else 10.0
    answer = OpenLoopSolver(ReachingProblem(torque_limits=limits)).solve(at_rest(CENTER))
    assert answer.status is Status.TORQUE_LIMITS and what in answer.message
    assert len(answer.torques) == 0


def test_limits_on_iterations_are_said(solver, best):
    few = OpenLoopSolver(solver.problem, SolverOptions(ddp_iterations=2)).solve(at_rest(CENTER))
    assert few.status in (Status.ITERATION_LIMIT, Status.DIVERGED) and not few.solved
    never = OpenLoopSolver(solver.problem, SolverOptions(duration_updates=1, tolerance=1e-9)).solve(at_rest(CENTER))
    assert never.status is Status.ITERATION_LIMIT and "dJ/dT is still" in never.message


def test_a_goal_that_is_not_worth_reaching_is_missed(solver):
    lazy = OpenLoopSolver(dataclasses.replace(solver.problem, terminal_weight=3.0))
    answer = lazy.solve(at_rest(CENTER))
    assert answer.status is Status.GOAL_MISSED and "from the goal" in answer.message


def test_bad_input_is_refused(solver):
    with pytest.raises(ValueError, match="14 finite numbers"):
        solver.solve(np.zeros(7))
    with pytest.raises(ValueError, match="must rise"):
        SolverOptions(marching=(100,))
    with pytest.raises(ValueError, match="hold"):
        SolverOptions(guess="nought")


def test_a_guess_keeps_its_ends_and_shape_on_other_steps():
    guess = Guess(np.linspace(0, 1, 11)[:, None] * np.arange(14), np.linspace(0.05, 0.95, 10)[:, None] * np.ones(7))
    fine = guess.on(40)
    np.testing.assert_allclose(fine.states, np.linspace(0, 1, 41)[:, None] * np.arange(14), atol=1e-12)
    np.testing.assert_allclose(fine.torques[5:-5, 0], ((np.arange(40) + 0.5) / 40)[5:-5], atol=1e-12)
    assert guess.on(10) is guess


def test_marching_drops_stages_that_fail():
    begun = []

    def solve(steps: int, guess: Guess) -> FixedSolution:
        begun.append((steps, len(guess.torques)))
        answer = Guess(np.zeros((steps + 1, 14)), np.zeros((steps, 7)))
        return FixedSolution(steps != 20, 1.0, answer, np.zeros((steps, 7, 14)), np.zeros((0, 14)), 1.0, 0.0, 3)

    last = march(solve, (10, 20, 40), Guess(np.zeros((6, 14)), np.zeros((5, 7))))
    assert begun == [(10, 5), (20, 10), (40, 10)]
    assert len(last.guess.torques) == 40 and last.ddp_iterations == 9


def test_a_trajectory_that_never_arrives_costs_infinitely_much(solver):
    states = np.tile(at_rest(CENTER), (3, 1))
    assert np.isinf(reaching_cost(solver.problem, states, np.zeros((2, 7)), 0.01))
