"""The terms of a plan's cost: their values by hand, their slopes by central differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_agents.rc_car.costs import Controls, Cost, Familiar, Obstacles, Targets, on_branch, on_branches, wrap
from dto_agents.rc_car.racing import Race
from dto_envs.rc_car.tracks import get_track

TRACK = get_track("L")


def make_trajectories(batch, steps, seed):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(batch, steps + 1, 6))
    progress = rng.uniform(0, TRACK.length, (batch, 1)) + np.cumsum(rng.uniform(0, 0.2, (batch, steps + 1)), axis=1)
    states[..., :2] = TRACK.poses(progress.ravel())[:, :2].reshape(batch, steps + 1, 2)
    states[..., :2] += 0.15 * rng.normal(size=(batch, steps + 1, 2))
    return states, rng.uniform(-1.5, 1.5, (batch, steps, 2))


def differences(cost, states, controls, shift=1e-6):
    """Central differences of every number of one trajectory."""
    found = []
    for index in range(2):
        given = [states, controls]
        slopes = np.zeros(given[index].shape)
        for place in np.ndindex(*slopes.shape):
            values = []
            for sign in (1, -1):
                moved = [states.copy(), controls.copy()]
                moved[index][place] += sign * shift
                values.append(cost.value(*moved)[place[0]])
            slopes[place] = (values[0] - values[1]) / (2 * shift)
        found.append(slopes)
    return found


TERMS = {
    "targets": Targets(np.array([2, 5]), np.ones((2, 6)), np.arange(12.0).reshape(2, 6)),
    "controls": Controls(0.3, 0.5, 2.0),
    "linked controls": Controls(0.3, 0.5, 2.0, fastest=0.4, previous=np.array([0.2, -0.4])),
    "obstacles": Obstacles(np.array([[1.9, 0.6], [0.0, 1.4]]), np.array([0.5, 0.7]), discs=(-0.1, 0.1)),
    "familiar": Familiar(np.array([0.5, 0.0, 0.0]), np.array([0.3, 0.1, 0.5]), (1.0, 2.0, 0.5)),
    "race": Race(TRACK, 2.0, 0.05, margin=0.3, centre_weight=0.3),
}


@pytest.mark.parametrize("name", TERMS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_slopes_are_those_of_central_differences(name, seed):
    states, controls = make_trajectories(2, 5, seed)
    cost = Cost((TERMS[name],))
    for found, expected in zip(cost.partials(states, controls), differences(cost, states, controls), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_a_cost_is_the_sum_of_its_terms():
    states, controls = make_trajectories(3, 5, 0)
    parts = [term.value(states, controls) for term in TERMS.values()]
    np.testing.assert_allclose(Cost(tuple(TERMS.values())).value(states, controls), np.sum(parts, axis=0))


def test_targets_and_controls_cost_what_the_equations_say():
    states, controls = np.zeros((1, 4, 6)), np.array([[[1.0, 0.0], [1.0, 0.5], [-2.0, 0.5]]])
    targets = Targets(np.array([3]), np.array([[3.0, 4.0, 0, 0, 0, 0]]), np.array([[1.0, 1.0, 9.0, 0, 0, 0]]))
    assert targets.value(states, controls)[0] == 25
    assert Controls(1, 0, 0).value(states, controls)[0] == 6.5
    assert Controls(0, 1, 0).value(states, controls)[0] == 0.25 + 9
    assert Controls(0, 1, 0, previous=np.array([0.0, 0.0])).value(states, controls)[0] == 1 + 0.25 + 9
    assert Controls(0, 0, 1).value(states, controls)[0] == 1
    assert Controls(0, 0, 1, fastest=0.3).value(states, controls)[0] == pytest.approx(1 + 0.2**2 + 2.7**2)


def test_an_obstacle_costs_nothing_until_it_is_too_near():
    term = Obstacles(np.array([[1.0, 0.0]]), np.array([0.4]), weight=1.0)
    states = np.zeros((2, 1, 6))
    states[1, 0, 0] = 0.7
    np.testing.assert_allclose(term.value(states, np.zeros((2, 0, 2))), [0, 0.01])


def test_trajectories_that_overflow_cost_infinitely_much():
    states, controls = make_trajectories(2, 5, 0)
    states[1, 3, 0] = np.nan
    value = Cost((TERMS["targets"], Controls())).value(states, controls)
    assert np.isfinite(value[0])
    states[1, 5] = np.inf
    assert Cost((TERMS["targets"],)).value(states, controls)[1] == np.inf


def test_headings_go_to_the_nearest_branch():
    assert wrap(3 * math.pi) == pytest.approx(-math.pi)
    assert on_branch(0.1, 6.2) == pytest.approx(2 * math.pi + 0.1)
    assert on_branch(math.pi - 0.1, -math.pi) == pytest.approx(-math.pi - 0.1)
    np.testing.assert_allclose(on_branches([3.0, -3.0, -2.0], 0.0), [3.0, 2 * math.pi - 3, 2 * math.pi - 2])


@pytest.mark.parametrize("track", ["oval", "L"])
def test_a_car_at_the_wanted_speed_on_the_line_costs_nothing(track):
    track = get_track(track)
    states = np.zeros((1, 200, 6))
    states[0, :, :3] = track.poses(0.1 * np.arange(200))
    right = Race(track, 0.1 / 0.05, 0.05).value(states, np.zeros((1, 199, 2)))[0]
    wrong = Race(track, 1.0, 0.05).value(states, np.zeros((1, 199, 2)))[0]
    assert right < 1e-3 and wrong == pytest.approx(199 * 0.05, rel=0.02)


def test_leaving_the_track_costs():
    track = get_track("oval")
    states = np.zeros((2, 2, 6))
    states[:, :, :3] = track.poses(np.array([0.0, 0.1]), offset=0.3)
    states[1, 1, :3] = track.poses(np.array([0.1]), offset=0.6)[0]
    race = Race(track, 2.0, 0.05, margin=0.1, speed_weight=0, centre_weight=0, excursion_weight=1)
    np.testing.assert_allclose(race.value(states, np.zeros((2, 1, 2))), [0, 0.09], atol=1e-9)
