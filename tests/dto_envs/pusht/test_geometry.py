"""The coverage against shapely, an independent implementation of polygon intersection."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dto_envs.pusht.geometry import AREA, BAR, GOAL_ANGLE, GOAL_X, GOAL_Y, KEYPOINTS, STEM, coverage, keypoints, observe

positions = st.floats(100, 412)
angles = st.floats(-10, 10)


def shapely_coverage(x: float, y: float, angle: float) -> float:
    from shapely import affinity
    from shapely.geometry import Polygon
    from shapely.ops import unary_union

    def placed(x: float, y: float, angle: float):
        tee = unary_union([Polygon(BAR), Polygon(STEM)])
        return affinity.translate(affinity.rotate(tee, angle, origin=(0, 0), use_radians=True), x, y)

    goal = placed(GOAL_X, GOAL_Y, GOAL_ANGLE)
    return placed(x, y, angle).intersection(goal).area / goal.area


@settings(max_examples=300, deadline=None)
@given(x=positions, y=positions, angle=angles)
@example(x=256.0, y=256.0, angle=math.pi / 4)
@example(x=256.0, y=256.0, angle=math.pi / 4 + math.pi)
@example(x=256.0 + 1e-9, y=256.0, angle=math.pi / 4)
@example(x=256.0, y=256.0, angle=math.pi / 4 + 1e-12)
def test_coverage_agrees_with_shapely(x, y, angle):
    pytest.importorskip("shapely")
    assert coverage(x, y, angle) == pytest.approx(shapely_coverage(x, y, angle), abs=1e-12)


def test_coverage_of_the_goal_is_one_and_far_away_zero():
    assert coverage(GOAL_X, GOAL_Y, GOAL_ANGLE) == pytest.approx(1.0, abs=1e-15)
    assert coverage(GOAL_X + 400, GOAL_Y, 0.0) == 0.0


def test_a_shift_along_the_stem_uncovers_what_it_should():
    down = 30.0  # the bar leaves the goal's bar and covers the stem's first 30 px; the stem's last 60 px stay covered
    x, y = GOAL_X - down * math.sin(GOAL_ANGLE), GOAL_Y + down * math.cos(GOAL_ANGLE)
    assert coverage(x, y, GOAL_ANGLE) == pytest.approx((30 * 30 + 30 * 60) / AREA, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(x=positions, y=positions, angle=angles)
def test_observe_and_keypoints_agree(x, y, angle):
    out = np.empty(20)
    assert observe(1.0, 2.0, x, y, angle, out) == coverage(x, y, angle)
    np.testing.assert_array_equal(out[:2], [1.0, 2.0])
    np.testing.assert_allclose(out[2:].reshape(9, 2), keypoints(np.array([x, y, angle])), rtol=0, atol=1e-12)


def test_keypoints_keep_their_mutual_distances_for_batches_of_poses():
    poses = np.random.default_rng(0).uniform([0, 0, -4], [512, 512, 4], size=(5, 3, 3))
    placed = keypoints(poses)
    assert placed.shape == (5, 3, 9, 2)
    expected = np.linalg.norm(KEYPOINTS[:, None] - KEYPOINTS, axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(placed[..., :, None, :] - placed[..., None, :, :], axis=-1) - expected, 0, atol=1e-10
    )
