import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dto_envs.actions import plain_layout
from dto_envs.layouts import PUSHT_LAYOUT, ROBOMIMIC_LAYOUT
from dto_envs.smoothness import (
    DifferenceTracker,
    batch_metrics,
    difference_limits,
    motion_groups,
    trajectory_metrics,
)

DIFFERENCES = ("max_difference", "std_difference", "mean_abs_difference", "std_abs_difference")


def chunks_of(layout):
    """Actions (T, D_a) in the environment's units."""
    return st.integers(1, 40).flatmap(
        lambda steps: hnp.arrays(np.float32, (steps, layout.size), elements=st.floats(-1, 1, width=32)).map(
            layout.denormalize
        )
    )


def random_actions(layout, steps, seed=0):
    return layout.denormalize(np.random.default_rng(seed).uniform(-1, 1, (steps, layout.size))).astype(np.float32)


def assert_same(left, right, rel=1e-9):
    for name in left.__dataclass_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if name == "groups":
            for group in a:
                assert_same(a[group], b[group], rel)
        else:
            assert a == pytest.approx(b, rel=rel, abs=1e-12, nan_ok=True), name


# ---- definitions, worked out by hand ----


def test_differences_by_hand():
    layout = plain_layout(2, bound=0.25)
    metrics = trajectory_metrics(np.array([[0, 0], [0.5, 0], [0.25, 0], [0.25, 0.125]]), layout)
    assert metrics.steps == 4
    assert metrics.max_difference == pytest.approx((0.5 + 0.125) / 2)
    assert metrics.mean_abs_difference == pytest.approx((0.25 + 0.125 / 3) / 2)
    assert metrics.std_difference == pytest.approx((np.std([0.5, -0.25, 0]) + np.std([0, 0, 0.125])) / 2)
    assert metrics.std_abs_difference == pytest.approx((np.std([0.5, 0.25, 0]) + np.std([0, 0, 0.125])) / 2)
    assert metrics.violations == 1
    assert metrics.max_violation == pytest.approx(0.25)
    assert metrics.violations_by_dimension == (1, 0)
    assert metrics.max_violation_by_dimension == pytest.approx((0.25, 0))


@pytest.mark.parametrize("layout", [ROBOMIMIC_LAYOUT, PUSHT_LAYOUT])
def test_differences_against_loops(layout):
    actions = random_actions(layout, 57)
    metrics = trajectory_metrics(actions, layout, n_action_steps=8)
    normalized = layout.normalize(actions.astype(np.float64))
    differences = {i: np.diff(normalized[:, i]) for i in layout.trajectory}
    expected = {
        "max_difference": [max(abs(d)) for d in differences.values()],
        "std_difference": [np.std(d) for d in differences.values()],
        "mean_abs_difference": [np.mean(abs(d)) for d in differences.values()],
        "std_abs_difference": [np.std(abs(d)) for d in differences.values()],
        "boundary_max_difference": [max(abs(d[7::8])) for d in differences.values()],
        "boundary_mean_difference": [np.mean(abs(d[7::8])) for d in differences.values()],
        "interior_mean_difference": [np.mean(abs(np.delete(d, np.s_[7::8]))) for d in differences.values()],
    }
    for name, values in expected.items():
        assert getattr(metrics, name) == pytest.approx(np.mean(values)), name
    assert metrics.violations == sum((abs(d) > layout.bound).sum() for d in differences.values())
    for group, dimensions in layout.groups:
        assert metrics.groups[group].max_difference == pytest.approx(
            np.mean([max(abs(differences[i])) for i in dimensions])
        )


def test_velocity_commands_in_si_units():
    """A ramp of 1 m/s to 3 m/s in x within 0.1 s: 10 m/s^2, which then stops abruptly."""
    layout = replace(ROBOMIMIC_LAYOUT, scale=(4.0,) * 3 + (10.0,) * 3 + (1.0,))
    actions = np.zeros((4, 7))
    actions[:, 0] = [0.25, 0.5, 0.75, 0.75]
    linear = trajectory_metrics(actions, layout).groups["linear"]
    assert linear.peak_velocity == pytest.approx(3)
    assert linear.peak_acceleration == pytest.approx(1 / 0.05)
    assert linear.peak_jerk == pytest.approx(1 / 0.05**2)
    still = trajectory_metrics(actions, layout).groups["rotational"]
    assert (still.peak_velocity, still.peak_acceleration, still.peak_jerk) == (0, 0, 0)


def test_position_commands_in_si_units():
    actions = np.array([[100, 100], [103, 104], [109, 112], [109, 112], [109, 112]], dtype=float)
    motion = trajectory_metrics(actions, PUSHT_LAYOUT).groups["all"]
    assert motion.peak_velocity == pytest.approx(10 / 0.1)
    assert motion.peak_acceleration == pytest.approx(10 / 0.1**2)
    assert motion.peak_jerk == pytest.approx(15 / 0.1**3)


def test_velocity_commands_stand_still_at_raw_zero():
    layout = replace(plain_layout(1), difference="acceleration", low=(-1.0,), high=(3.0,), scale=(2.0,))
    assert trajectory_metrics(np.zeros((5, 1)), layout).groups["all"].peak_velocity == 0
    assert trajectory_metrics(np.full((5, 1), 3.0), layout).groups["all"].peak_velocity == pytest.approx(3)


def test_float32_actions_that_meet_the_bound_do_not_violate_it():
    actions = PUSHT_LAYOUT.denormalize(np.stack([np.linspace(-0.9, 0.9, 37)] * 2, axis=1)).astype(np.float32)
    assert trajectory_metrics(actions, PUSHT_LAYOUT).violations == 0
    assert trajectory_metrics(actions, PUSHT_LAYOUT, bound=0.05 - 1e-5).violations == 72


# ---- definitions, against direct formulas ----


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(3, 30), st.just(7)), elements=st.integers(-64, 64)).map(lambda a: a / 64)
)
def test_jerk_measures_against_direct_sums(actions):
    linear = trajectory_metrics(actions, ROBOMIMIC_LAYOUT).groups["linear"]
    dt, velocity = 0.05, actions[:, :3]
    duration, jerk = dt * len(velocity), np.diff(velocity, 2, axis=0) / dt**2
    integral = sum(float(j @ j) for j in jerk) * dt
    peak = max(math.sqrt(v @ v) for v in velocity)
    if peak**2 > 0:
        dimensionless = duration**3 / peak**2 * integral
        if dimensionless > 0:
            assert linear.ldlj == pytest.approx(-math.log(dimensionless), rel=1e-6, abs=1e-9)
        length = sum(math.sqrt(v @ v) for v in velocity) * dt
        expected = math.sqrt(0.5 * integral * duration**5 / length**2)
        assert linear.normalized_jerk == pytest.approx(expected, rel=1e-6)
    else:
        assert math.isnan(linear.ldlj) and math.isnan(linear.normalized_jerk)


def test_minimum_jerk_motion_has_the_known_dimensionless_jerk():
    """The minimum-jerk profile of a point-to-point motion has integral |jerk|^2 = 720 L^2 / D^5."""
    t = np.linspace(0, 1, 4001)
    layout = replace(plain_layout(1, dt=t[1]), scale=(1.0,))
    motion = trajectory_metrics((10 * t**3 - 15 * t**4 + 6 * t**5)[:, None], layout).groups["all"]
    assert motion.normalized_jerk == pytest.approx(math.sqrt(360), rel=2e-3)
    assert motion.ldlj == pytest.approx(-math.log(720 / 1.875**2), rel=2e-3)
    assert motion.peak_velocity == pytest.approx(1.875, rel=1e-3)


# ---- properties ----


@given(chunks_of(ROBOMIMIC_LAYOUT))
def test_groups_average_to_the_whole(actions):
    metrics = trajectory_metrics(actions, ROBOMIMIC_LAYOUT)
    for name in DIFFERENCES:
        halves = [getattr(metrics.groups[group], name) for group in ("linear", "rotational")]
        assert getattr(metrics, name) == pytest.approx(np.mean(halves), abs=1e-12)
    assert metrics.mean_abs_difference <= metrics.max_difference + 1e-12
    assert metrics.std_abs_difference <= metrics.std_difference + 1e-12


@given(chunks_of(PUSHT_LAYOUT), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_scaling(actions, factor):
    """Differences and physical figures grow with the motion; shape measures do not."""
    layout = replace(plain_layout(2, dt=0.1), scale=(2.0, 2.0))
    base = trajectory_metrics(layout.normalize(actions) / 512, layout)
    scaled = trajectory_metrics(layout.normalize(actions) / 512 * factor, layout)
    for name in DIFFERENCES:
        assert getattr(scaled, name) == pytest.approx(factor * getattr(base, name), rel=1e-9, abs=1e-15)
    for name in ("peak_velocity", "peak_acceleration", "peak_jerk"):
        left, right = getattr(scaled.groups["all"], name), getattr(base.groups["all"], name)
        assert left == pytest.approx(factor * right, rel=1e-9, abs=1e-12)
    for name in ("sparc", "ldlj", "normalized_jerk"):
        left, right = getattr(scaled.groups["all"], name), getattr(base.groups["all"], name)
        assert left == pytest.approx(right, rel=1e-6, abs=1e-6, nan_ok=True)


@given(chunks_of(ROBOMIMIC_LAYOUT))
def test_time_reversal_changes_nothing(actions):
    forward = trajectory_metrics(actions, ROBOMIMIC_LAYOUT)
    backward = trajectory_metrics(actions[::-1], ROBOMIMIC_LAYOUT)
    assert_same(forward, backward, rel=1e-6)


@given(chunks_of(PUSHT_LAYOUT), hnp.arrays(np.float64, 2, elements=st.floats(-100, 100).map(lambda v: v / 8)))
def test_position_commands_may_be_shifted(actions, offset):
    base = trajectory_metrics(actions, PUSHT_LAYOUT)
    shifted = trajectory_metrics(actions + offset, PUSHT_LAYOUT)
    for name in DIFFERENCES:
        assert getattr(shifted, name) == pytest.approx(getattr(base, name), abs=1e-9)
    assert shifted.groups["all"].peak_jerk == pytest.approx(base.groups["all"].peak_jerk, rel=1e-6, abs=1e-5)


@given(chunks_of(ROBOMIMIC_LAYOUT), st.floats(-math.pi, math.pi))
def test_motion_is_measured_alike_in_every_direction(actions, angle):
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    turned = actions.astype(np.float64)
    turned[:, :3] = turned[:, :3] @ turn.T
    base = trajectory_metrics(actions, ROBOMIMIC_LAYOUT).groups["linear"]
    after = trajectory_metrics(turned, ROBOMIMIC_LAYOUT).groups["linear"]
    for name in ("peak_velocity", "peak_acceleration", "peak_jerk", "normalized_jerk"):
        assert getattr(after, name) == pytest.approx(getattr(base, name), rel=1e-6, abs=1e-9, nan_ok=True)


@given(chunks_of(ROBOMIMIC_LAYOUT))
def test_the_gripper_counts_for_nothing(actions):
    closed = actions.copy()
    closed[:, 6] = np.where(np.arange(len(actions)) % 2, 1, -1)
    assert_same(trajectory_metrics(actions, ROBOMIMIC_LAYOUT, 8), trajectory_metrics(closed, ROBOMIMIC_LAYOUT, 8))


@pytest.mark.parametrize("layout", [ROBOMIMIC_LAYOUT, PUSHT_LAYOUT])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_a_frozen_robot(layout, steps):
    still = np.zeros(layout.size) if layout.difference == "acceleration" else np.full(layout.size, 200.0)
    metrics = trajectory_metrics(np.tile(still, (steps, 1)), layout, n_action_steps=8)
    assert [getattr(metrics, name) for name in DIFFERENCES] == [0] * 4
    assert (metrics.violations, metrics.max_violation) == (0, 0)
    for motion in metrics.groups.values():
        assert (motion.peak_velocity, motion.peak_acceleration, motion.peak_jerk) == (0, 0, 0)
        assert math.isnan(motion.sparc) and math.isnan(motion.ldlj) and math.isnan(motion.normalized_jerk)


def test_constant_speed_has_no_jerk_and_no_logarithm_of_it():
    actions = np.zeros((20, 7))
    actions[:, 1] = 0.5
    motion = trajectory_metrics(actions, ROBOMIMIC_LAYOUT).groups["linear"]
    assert motion.peak_velocity == 0.5 and motion.normalized_jerk == 0 and math.isnan(motion.ldlj)
    assert motion.sparc < -1


@pytest.mark.parametrize("layout", [ROBOMIMIC_LAYOUT, PUSHT_LAYOUT])
def test_one_action_has_no_differences(layout):
    metrics = trajectory_metrics(random_actions(layout, 1), layout, n_action_steps=1)
    assert [getattr(metrics, name) for name in DIFFERENCES] == [0] * 4
    assert math.isnan(metrics.boundary_max_difference) and math.isnan(metrics.interior_mean_difference)


def test_every_step_is_a_boundary_when_one_action_is_executed():
    metrics = trajectory_metrics(random_actions(PUSHT_LAYOUT, 30), PUSHT_LAYOUT, n_action_steps=1)
    assert metrics.boundary_mean_difference == pytest.approx(metrics.mean_abs_difference)
    assert metrics.boundary_max_difference == pytest.approx(metrics.max_difference)
    assert math.isnan(metrics.interior_mean_difference)


def test_without_chunks_there_are_no_boundaries():
    metrics = trajectory_metrics(random_actions(PUSHT_LAYOUT, 30), PUSHT_LAYOUT)
    assert math.isnan(metrics.boundary_mean_difference) and math.isnan(metrics.interior_mean_difference)


# ---- many at once, and while an episode runs ----


@pytest.mark.parametrize("layout", [ROBOMIMIC_LAYOUT, PUSHT_LAYOUT])
def test_a_batch_equals_its_episodes(layout):
    lengths = [1, 2, 3, 4, 7, 8, 9, 31, 64, 65, 300] * 30
    episodes = [random_actions(layout, length, seed) for seed, length in enumerate(lengths)]
    columns = batch_metrics(episodes, layout, n_action_steps=8)
    for index in range(0, len(episodes), 7):
        single = trajectory_metrics(episodes[index], layout, n_action_steps=8)
        flat = {name: getattr(single, name) for name in single.__dataclass_fields__ if name != "groups"}
        for group, motion in single.groups.items():
            flat |= {f"{group}/{name}": getattr(motion, name) for name in motion.__dataclass_fields__}
        assert flat.keys() == columns.keys()
        for name, value in flat.items():
            np.testing.assert_allclose(columns[name][index], value, rtol=1e-12, atol=1e-15, err_msg=name)


@given(chunks_of(ROBOMIMIC_LAYOUT))
def test_the_tracker_follows_an_episode(actions):
    tracker = DifferenceTracker(ROBOMIMIC_LAYOUT)
    tracker.update(np.full(7, 0.7))
    tracker.reset()
    for action in actions:
        tracker.update(action)
    expected = trajectory_metrics(actions, ROBOMIMIC_LAYOUT)
    for name, value in tracker.metrics().items():
        assert value == pytest.approx(getattr(expected, name), abs=1e-9), name


# ---- bounds, groups, errors ----


def test_asymmetric_and_per_dimension_bounds():
    actions = np.array([[0, 0], [0.5, 0.5], [0, 0]])
    layout = plain_layout(2)
    assert trajectory_metrics(actions, layout, bound=(-0.5, 0.25)).violations_by_dimension == (1, 1)
    assert trajectory_metrics(actions, layout, bound=np.array([0.5, 0.25])).max_violation_by_dimension == (0, 0.25)
    assert trajectory_metrics(actions, layout, bound=(-math.inf, math.inf)).violations == 0
    lower, upper = difference_limits(layout, (-0.5, np.array([0.25, 1])))
    assert lower.tolist() == [-0.5, -0.5] and upper.tolist() == [0.25, 1]


@pytest.mark.parametrize("bound", [np.ones(3), (0.5, -0.5), math.nan, (-0.1, math.nan)])
def test_bounds_that_do_not_fit(bound):
    with pytest.raises(ValueError, match="bound|limits"):
        trajectory_metrics(np.zeros((3, 2)), plain_layout(2), bound=bound)


def test_dimensions_without_groups_are_told_apart_by_unit():
    layout = replace(plain_layout(3), units=("m", "rad", "m"))
    assert motion_groups(layout) == {"m": (0, 2), "rad": (1,)}
    assert motion_groups(PUSHT_LAYOUT) == {"all": (0, 1)}


@pytest.mark.parametrize("actions", [np.zeros((0, 2)), np.zeros(2), np.zeros((5, 3))])
def test_shapes_that_do_not_fit(actions):
    with pytest.raises(ValueError, match=r"shape \(T, 2\)"):
        trajectory_metrics(actions, PUSHT_LAYOUT)


def test_errors_name_the_episode_and_the_step():
    bad = np.zeros((9, 2))
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match="episode 1: .* step 4"):
        batch_metrics([np.zeros((3, 2)), bad], PUSHT_LAYOUT)
    with pytest.raises(ValueError, match="no episodes"):
        batch_metrics([], PUSHT_LAYOUT)
    with pytest.raises(ValueError, match="at least 1"):
        trajectory_metrics(np.zeros((3, 2)), PUSHT_LAYOUT, n_action_steps=0)
