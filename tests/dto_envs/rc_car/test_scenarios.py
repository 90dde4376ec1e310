"""The manoeuvres: they can be done by sliding, cannot be done without, and their geometry is what it says."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity, geometry

from dto_envs.layouts import RC_CAR_LAYOUT
from dto_envs.rc_car.car import INSTANT, SLIDING, initial_state, rollout, slip_angle
from dto_envs.rc_car.scenarios import (
    CAN_RADIUS,
    CAR_LENGTH,
    CAR_WIDTH,
    SCENARIOS,
    START_SPREAD,
    Scenario,
    clearance,
    draw_start,
    errors,
)

ROLLING_SLIP = 0.36  # rad; full lock alone is 0.33


def knots_to_controls(count: int, steps: int) -> np.ndarray:
    """The matrix (count, steps) of linear interpolation between evenly spaced knots."""
    at = np.linspace(0, steps - 1, count)
    return np.array([np.interp(np.arange(steps), at, row) for row in np.eye(count)])


def limited(controls: np.ndarray) -> np.ndarray:
    """Controls (B, n, 2) that keep the action layout's rate limit."""
    controls = controls.copy()
    for step in range(1, controls.shape[1]):
        change = np.clip(controls[:, step] - controls[:, step - 1], -RC_CAR_LAYOUT.bound, RC_CAR_LAYOUT.bound)
        controls[:, step] = controls[:, step - 1] + change
    return controls


def start_of(scenario: Scenario) -> np.ndarray:
    return initial_state(np.array([scenario.start]), np.array([[scenario.speed, 0.0, 0.0]]))


def costs(scenario: Scenario, driven: np.ndarray, sliding_weight: float) -> np.ndarray:
    """Squared errors at way point and target, cans, and where asked for, whatever is not rolling; (B,)."""
    way = round(scenario.way_point.time / 0.05)
    position, heading = errors(driven[:, -1], scenario.target.pose)
    total = 40 * position**2 + 10 * heading**2 + 3 * (driven[:, -1, 3:5] ** 2).sum(axis=1)
    position, heading = errors(driven[:, way], scenario.way_point.pose)
    total += 20 * position**2 + 5 * heading**2
    near = np.maximum(0.05 - clearance(driven[:, 1:], scenario.cans), 0.0)
    total += 1200 * (near**2).sum(axis=1)
    if sliding_weight:
        slip = np.maximum(np.abs(slip_angle(driven[..., INSTANT])) - ROLLING_SLIP, 0.0)
        total += sliding_weight * ((slip**2).sum(axis=1) + 0.1 * driven[..., SLIDING].mean(axis=2).sum(axis=1))
    return total


@functools.cache
def plan(name: str, sliding_weight: float) -> np.ndarray:
    """The states (n + 1, S) of the best plan that the cross-entropy method finds from two starts."""
    scenario = SCENARIOS[name]
    generator, steps, count = np.random.default_rng(1), round(scenario.target.time / 0.05), 16
    basis, start = knots_to_controls(count, steps), start_of(scenario)
    best, best_cost = np.zeros(0), math.inf
    for _ in range(2):
        mean, spread = np.zeros((count, 2)), np.full((count, 2), 0.8)
        for _ in range(40):
            knots = np.clip(mean + spread * generator.standard_normal((300, count, 2)), -1, 1)
            controls = limited(np.einsum("bkd,kn->bnd", knots, basis))
            driven = rollout(np.repeat(start, len(controls), axis=0), controls)
            cost = costs(scenario, driven, sliding_weight)
            order = np.argsort(cost)[:30]
            mean, spread = knots[order].mean(axis=0), np.maximum(knots[order].std(axis=0), 0.03)
            if cost[order[0]] < best_cost:
                best, best_cost = driven[order[0]], cost[order[0]]
    return best


def met(scenario: Scenario, driven: np.ndarray) -> bool:
    way = round(scenario.way_point.time / 0.05)
    return (
        scenario.target.is_met(*errors(driven[-1], scenario.target.pose))
        and scenario.way_point.is_met(*errors(driven[way], scenario.way_point.pose))
        and clearance(driven, scenario.cans).min() > 0
    )


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_manoeuvre_is_done_by_sliding(scenario):
    driven = plan(scenario.name, 0.0)
    assert met(scenario, driven)
    assert np.abs(slip_angle(driven[:, INSTANT])).max() > 0.5


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_without_sliding_a_target_is_missed(scenario):
    driven = plan(scenario.name, 30.0)
    assert np.abs(slip_angle(driven[:, INSTANT])).max() < 0.5
    assert driven[:, SLIDING].mean() < 0.01
    assert not met(scenario, driven)


def test_the_heading_missed_without_sliding_is_far_beyond_the_tolerance():
    """Parking is the plainest: a car that grips arrives a quarter turn short."""
    scenario = SCENARIOS["Parking"]
    _, heading = errors(plan(scenario.name, 30.0)[-1], scenario.target.pose)
    assert heading > 3 * scenario.target.heading_tolerance


cars = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-10, 10))


@settings(max_examples=80, deadline=None)
@given(cars, st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=3))
def test_clearance_is_the_distance_between_a_rectangle_and_circles(pose, cans):
    body = geometry.box(-CAR_LENGTH / 2, -CAR_WIDTH / 2, CAR_LENGTH / 2, CAR_WIDTH / 2)
    body = affinity.translate(affinity.rotate(body, pose[2], origin=(0, 0), use_radians=True), *pose[:2])
    points = [geometry.Point(can) for can in cans]
    signed = [-body.exterior.distance(point) if body.contains(point) else body.distance(point) for point in points]
    assert clearance(np.array(pose), tuple(cans)) == pytest.approx(min(signed) - CAN_RADIUS, abs=1e-9)


def test_clearance_without_cans_and_of_many_cars():
    assert clearance(np.zeros((2, 3, 3)), ()).shape == (2, 3) and np.isinf(clearance(np.zeros(3), ()))
    away = clearance(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, math.pi / 2]]), ((1.0, 0.0),))
    np.testing.assert_allclose(away, [1 - CAR_LENGTH / 2 - CAN_RADIUS, 1 - CAR_WIDTH / 2 - CAN_RADIUS])


@settings(max_examples=50, deadline=None)
@given(cars, cars, st.integers(-3, 3))
def test_errors_do_not_count_turns(pose, target, turns):
    position, heading = errors(np.array(pose), target)
    again = errors(np.array([pose[0], pose[1], pose[2] + turns * 2 * math.pi]), target)
    assert position == again[0] and heading == pytest.approx(again[1], abs=1e-9) and 0 <= heading <= math.pi
    assert math.cos(heading) == pytest.approx(math.cos(pose[2] - target[2]), abs=1e-9)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_starts_differ_slightly_and_leave_the_cans_alone(scenario):
    generator = np.random.default_rng(0)
    starts = np.array([draw_start(scenario, generator) for _ in range(200)])
    nominal = np.array([*scenario.start, scenario.speed])
    assert (np.abs(starts[:, :4] - nominal) <= np.array(START_SPREAD)).all()
    assert (np.ptp(starts[:, :3], axis=0) > 0.08).all() and (starts[:, 4:] == 0).all()
    assert clearance(starts[:, :3], scenario.cans).min() > 0.1
    assert (np.ptp(starts[:, 3]) > 0.1) == (scenario.speed != 0)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_targets_leave_room_between_the_cans(scenario):
    for target in (scenario.way_point, scenario.target):
        assert clearance(np.array(target.pose), scenario.cans) > 0.1
    assert scenario.way_point.time < scenario.target.time
