"""Planning: both methods lower the cost, say how they ended, and never hand out a plan that diverged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from dto_agents.rc_car.costs import Controls, Cost, Targets
from dto_agents.rc_car.dynamics import AnalyticDynamics, Dynamics, LearnedDynamics
from dto_agents.rc_car.optimisation import DivergedError, Problem, descend, line_search, optimise, spread_starts
from dto_envs.rc_car import car
from dto_envs.rc_car.learned import CarNetwork


def make_network(seed=0, gain=1.0):
    """A small network whose throttle speeds up and whose steering turns, bent by its hidden layer."""
    rng = np.random.default_rng(seed)
    weights = (0.3 * rng.normal(size=(16, 5)), 0.1 * rng.normal(size=(3, 16)))
    weights[0][0], weights[0][1] = [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]
    weights[1][0, 0], weights[1][2, 1] = gain, 3 * gain
    return CarNetwork(
        weights=tuple(matrix.astype(np.float32) for matrix in weights),
        biases=(np.zeros(16, np.float32), np.zeros(3, np.float32)),
        input_mean=np.zeros(5, np.float32),
        input_scale=np.ones(5, np.float32),
        output_mean=np.zeros(3, np.float32),
        output_scale=np.full(3, 0.3, np.float32),
        dt=0.05,
    )


def make_problem(dynamics, steps=20, size=6):
    targets = Targets(np.array([steps]), np.array([[0.8, 0.3, 0.5, 0, 0, 0]]), np.array([[40.0, 40, 10, 3, 3, 0.1]]))
    state = np.zeros(6) if size == 6 else car.initial_state(np.zeros((1, 3)), np.zeros((1, 3)))[0]
    return Problem(dynamics, Cost((targets, Controls())), state)


LEARNED = make_problem(LearnedDynamics(make_network()))
ANALYTIC = make_problem(AnalyticDynamics(), size=13)


@pytest.mark.parametrize("problem", [LEARNED, ANALYTIC], ids=["learned", "analytic"])
@pytest.mark.parametrize("method", [line_search, descend])
def test_both_methods_lower_the_cost_on_both_cars(problem, method):
    start = np.full((20, 2), 0.1)
    plan = method(problem, start, iterations=40)
    assert plan.status in ("converged", "iteration limit")
    assert plan.start_cost == pytest.approx(problem.costs(start[None])[0])
    assert plan.cost < 0.3 * plan.start_cost
    assert problem.costs(plan.controls[None])[0] == pytest.approx(plan.cost, rel=0.02)
    np.testing.assert_array_equal(problem.rollout(plan.controls[None])[0], plan.states)


def test_the_analytic_gradient_of_the_learned_car_is_that_of_differences():
    controls = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    _, gradient = LEARNED.cost_and_gradient(controls)
    shift = 1e-2 * np.eye(40).reshape(40, 20, 2)
    differences = (LEARNED.costs(controls + shift) - LEARNED.costs(controls - shift)) / 2e-2
    np.testing.assert_allclose(gradient.ravel(), differences, rtol=0.02, atol=1e-2 * np.abs(differences).max())


def test_the_gradient_of_the_analytic_car_is_that_of_differences():
    problem = replace(ANALYTIC, dynamics=AnalyticDynamics(shift=1e-4))
    controls = np.full((20, 2), [0.2, 0.3])  # without sliding, where there are slopes
    _, gradient = problem.cost_and_gradient(controls)
    shift = 1e-4 * np.eye(40).reshape(40, 20, 2)
    differences = (problem.costs(controls + shift) - problem.costs(controls - shift)) / 2e-4
    np.testing.assert_allclose(gradient.ravel(), differences, rtol=1e-4, atol=1e-4)


def test_descent_converges_and_says_so():
    assert descend(LEARNED, np.zeros((20, 2)), iterations=400).status == "converged"
    assert line_search(LEARNED, np.zeros((20, 2)), candidates=64, iterations=2000, tolerance=1e-3).status == "converged"


def test_a_limit_is_reported():
    plan = descend(LEARNED, np.zeros((20, 2)), iterations=2)
    assert plan.status == "iteration limit" and plan.iterations == 2
    assert line_search(LEARNED, np.zeros((20, 2)), candidates=8, iterations=3).status == "iteration limit"


def test_a_line_search_counts_its_trajectories():
    plan = line_search(LEARNED, np.zeros((20, 2)), candidates=8, iterations=3)
    assert plan.evaluations == 1 + 3 * 9


def test_a_line_search_never_raises_the_cost():
    costs = [line_search(LEARNED, np.full((20, 2), 0.5), candidates=16, iterations=n).cost for n in range(1, 8)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("method", [line_search, descend])
def test_a_plan_that_diverges_is_reported_and_holds_nothing(method):
    wild = make_network(gain=1e4)
    wild = replace(wild, weights=(wild.weights[0] * np.float32(1e20), wild.weights[1] * np.float32(1e15)))
    plan = method(make_problem(LearnedDynamics(wild)), np.full((20, 2), 0.9))
    assert plan.status == "diverged"
    with pytest.raises(DivergedError, match="diverged"):
        _ = plan.controls
    with pytest.raises(DivergedError):
        _ = plan.states


@dataclass(frozen=True)
class WrongSlopes:
    """The learned car with slopes that point uphill."""

    right: Dynamics = LEARNED.dynamics
    dt: float = 0.05
    recorded: int = 0

    def rollout(self, state, controls, past):
        return self.right.rollout(state, controls, past)

    def gradient(self, state, states, controls, partials, past):
        return -self.right.gradient(state, states, controls, partials, past)


def test_wrong_slopes_cannot_make_a_plan_worse_than_its_start():
    start = np.full((20, 2), 0.1)
    for method in (line_search, descend):
        plan = method(make_problem(WrongSlopes()), start, iterations=20)
        assert plan.status == "diverged" or plan.cost <= plan.start_cost


def test_several_starts_are_at_least_as_good_as_each():
    starts = spread_starts(LEARNED, 20, 4, tries=30)
    assert starts.shape == (4, 20, 2) and np.abs(starts).max() <= 1
    best = optimise(LEARNED, starts, iterations=60)
    alone = [descend(LEARNED, start, iterations=60) for start in starts]
    assert best.cost <= 1.05 * min(plan.cost for plan in alone)
    assert best.evaluations > max(plan.evaluations for plan in alone) / 2
    np.testing.assert_array_equal(starts, spread_starts(LEARNED, 20, 4, tries=30))


def test_a_start_that_diverges_does_not_spoil_the_others():
    starts = np.stack([np.full((20, 2), np.nan), np.zeros((20, 2))])
    assert optimise(LEARNED, starts, iterations=30).found is not None
    assert optimise(LEARNED, starts[:1]).status == "diverged"
    with pytest.raises(ValueError, match="at least one start"):
        optimise(LEARNED, [])


def test_controls_are_returned_within_their_limits():
    far = Targets(np.array([20]), np.array([[30.0, 0, 0, 0, 0, 0]]), np.array([[40.0, 40, 0, 0, 0, 0]]))
    plan = descend(replace(LEARNED, cost=Cost((far, Controls()))), np.zeros((20, 2)))
    assert np.abs(plan.controls).max() <= 1


def test_the_gradient_of_a_car_with_delay_is_that_of_differences():
    parameters = car.CarParameters(delay=0.12)
    state = car.initial_state(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]]), parameters)[0]
    problem = replace(ANALYTIC, dynamics=AnalyticDynamics(parameters, shift=1e-4), state=state)
    controls = np.full((20, 2), [0.1, 0.2])
    _, gradient = problem.cost_and_gradient(controls)
    shift = 1e-4 * np.eye(40).reshape(40, 20, 2)
    differences = (problem.costs(controls + shift) - problem.costs(controls - shift)) / 2e-4
    np.testing.assert_allclose(gradient.ravel(), differences, rtol=1e-3, atol=1e-3)


def test_doubt_is_the_mean_over_cars_that_differ():
    problem = replace(LEARNED, doubt=0.1, state=np.array([0.0, 0, 0, 1.0, 0.1, 0.2]))
    controls = np.random.default_rng(1).uniform(-0.5, 0.5, (20, 2))
    certain = [replace(LEARNED, state=problem.state)] * 5
    faster, slower = (replace(LEARNED, state=problem.state * [1, 1, 1, s, s, s]) for s in (1.1, 0.9))
    gains = [[1, 1], [1.1, 1], [0.9, 1], [1, 1.1], [1, 0.9], [1, 1], [1, 1]]
    expected = [c.costs((controls * g)[None])[0] for c, g in zip([*certain, faster, slower], gains, strict=True)]
    cost, gradient = problem.cost_and_gradient(controls)
    assert cost == pytest.approx(np.mean(expected)) == problem.costs(controls[None])[0]
    shift = 1e-2 * np.eye(40).reshape(40, 20, 2)
    differences = (problem.costs(controls + shift) - problem.costs(controls - shift)) / 2e-2
    np.testing.assert_allclose(gradient.ravel(), differences, rtol=0.02, atol=1e-2 * np.abs(differences).max())
